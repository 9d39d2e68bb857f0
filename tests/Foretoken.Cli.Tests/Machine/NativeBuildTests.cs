using System.Diagnostics;
using System.Reflection;
using System.Reflection.Emit;
using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Tests.Bench;
using Foretoken.Interop;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Machine;

public sealed class NativeBuildTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_build_that_the_library_came_from_is_found_among_others()
    {
        WriteBuild("older", patches: "other", library: "old");
        WriteBuild("newer", patches: "abc", library: "new");

        NativeBuild build = NativeBuild.Find(InUse("new"), Builds);

        Assert.Equal("newer", build.Key);
        Assert.True(File.Exists(build.Baseline));
    }

    [Theory]
    [InlineData("b2", "abc", "same", "llama.cpp b2")]
    [InlineData("b1", "xyz", "same", "patches are xyz")]
    [InlineData("b1", "abc", "other", "libllama.so")]
    public void A_baseline_of_another_pin_or_build_is_refused(
        string release,
        string patches,
        string library,
        string because
    )
    {
        WriteBuild("key", release, patches, library);

        CliException e = Assert.Throws<CliException>(() => NativeBuild.Find(InUse("same"), Builds));

        Assert.Contains(because, e.Message, StringComparison.Ordinal);
        Assert.Contains("./run build", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_baseline_built_with_other_options_is_refused()
    {
        WriteBuild("key", library: "same");

        CliException e = Assert.Throws<CliException>(() => NativeBuild.Find(InUse("same", options: "cpu+rpc"), Builds));

        Assert.Contains("built with 'cpu', the library with 'cpu+rpc'", e.Message, StringComparison.Ordinal);
        Assert.Contains("./run build", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("n_threads", "3")]
    [InlineData("n_ubatch", "64")]
    [InlineData("type_k", "\"q8_0\"")]
    [InlineData("flash_attn", "\"disabled\"")]
    public void A_baseline_that_runs_with_other_settings_is_refused(string name, string value)
    {
        Dictionary<string, string> told = new()
        {
            ["n_ctx"] = "256",
            ["n_ubatch"] = "128",
            ["n_batch"] = "256",
            ["n_threads"] = "2",
            ["n_threads_batch"] = "2",
            ["n_gpu_layers"] = "0",
            ["type_k"] = "\"f16\"",
            ["type_v"] = "\"f16\"",
            ["flash_attn"] = "\"auto\"",
        };
        BaselineEngine.RequireSettings(Json(told), BenchReports.Settings(1, 0), 256);

        told[name] = value;

        CliException e = Assert.Throws<CliException>(() =>
            BaselineEngine.RequireSettings(Json(told), BenchReports.Settings(1, 0), 256)
        );
        Assert.Contains(name, e.Message, StringComparison.Ordinal);

        static JsonElement Json(Dictionary<string, string> values) =>
            JsonDocument
                .Parse("{" + string.Join(',', values.Select(pair => $"\"{pair.Key}\": {pair.Value}")) + "}")
                .RootElement;
    }

    [Fact]
    public void A_build_without_the_baseline_is_no_comparison()
    {
        WriteBuild("key", "b1", "abc", "same");
        File.Delete(Path.Combine(Builds, "key", "stock", "foretoken-baseline"));

        Assert.Contains(
            "no foretoken-baseline",
            Assert.Throws<CliException>(() => NativeBuild.Find(InUse("same"), Builds)).Message,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("Debug", "Release")]
    [InlineData("Release", "Debug")]
    public void Native_debug_builds_are_refused(string build, string library)
    {
        WriteBuild("key", buildType: build, library: "same");

        Assert.Contains(
            "only Release",
            Assert.Throws<CliException>(() => NativeBuild.Find(InUse("same", library), Builds)).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Managed_debug_builds_are_refused()
    {
        AssemblyBuilder Compiled(DebuggableAttribute.DebuggingModes modes) =>
            AssemblyBuilder.DefineDynamicAssembly(
                new AssemblyName("Some.Assembly"),
                AssemblyBuilderAccess.Run,
                [
                    new CustomAttributeBuilder(
                        typeof(DebuggableAttribute).GetConstructor([typeof(DebuggableAttribute.DebuggingModes)])!,
                        [modes]
                    ),
                ]
            );

        Assert.Contains(
            "Debug build",
            Assert
                .Throws<CliException>(() =>
                    NativeBuild.RefuseDebug(
                        Compiled(
                            DebuggableAttribute.DebuggingModes.Default
                                | DebuggableAttribute.DebuggingModes.DisableOptimizations
                        )
                    )
                )
                .Message,
            StringComparison.Ordinal
        );
        NativeBuild.RefuseDebug(Compiled(DebuggableAttribute.DebuggingModes.IgnoreSymbolStoreSequencePoints));
    }

    private string Builds => Path.Combine(_folder.Path, "native");

    private NativeLibraryInfo InUse(string content, string buildType = "Release", string options = "cpu") =>
        new(
            _folder.Write("app/runtimes/libllama.so", content),
            1,
            "b1",
            "abc",
            $$"""{ "build_type": "{{buildType}}", "options": "{{options}}" }"""
        );

    private void WriteBuild(
        string key,
        string release = "b1",
        string patches = "abc",
        string library = "same",
        string buildType = "Release"
    )
    {
        _folder.Write(
            $"native/{key}/build.json",
            $$"""{ "key": "{{key}}", "release": "{{release}}", "patch_hash": "{{patches}}", "options": "cpu", "compiler": "cc", "build_type": "{{buildType}}" }"""
        );
        _folder.Write($"native/{key}/lib/libllama.so", library);
        _folder.Write($"native/{key}/stock/foretoken-baseline", "");
    }
}
