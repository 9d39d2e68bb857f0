using Foretoken.Errors;
using Foretoken.Interop;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Interop;

public sealed class NativeLoaderTests
{
    [Fact]
    public void Handshake_tells_what_was_loaded()
    {
        NativeLibraryInfo library = ForetokenModel.GetNativeLibrary();
        Assert.Equal(NativeLoader.ExpectedAbiVersion, library.AbiVersion);
        Assert.Matches(@"^(b[0-9]+|v[0-9]+\.[0-9]+\.[0-9]+)$", library.LlamaRelease);
        Assert.NotEqual("", library.PatchHash);
        Assert.True(File.Exists(library.Path));
        using System.Text.Json.JsonDocument build = System.Text.Json.JsonDocument.Parse(library.BuildInfo);
        Assert.Equal("Release", build.RootElement.GetProperty("build_type").GetString());
    }

    [Fact]
    public void Abi_version_of_the_header_is_the_expected_one()
    {
        string header = File.ReadAllText(
            Path.Combine(Sessions.TestModel.Root, "src", "Foretoken.Native", "include", "foretoken.h")
        );
        Assert.Contains(
            $"#define FTK_ABI_VERSION {NativeLoader.ExpectedAbiVersion}\n",
            header,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Mismatched_abi_is_refused_with_both_versions()
    {
        NativeLibraryException error = Assert.Throws<NativeLibraryException>(() =>
            NativeLoader.CheckAbi(NativeLoader.ExpectedAbiVersion + 1, "b1", "abc", "/lib/libllama.so")
        );
        Assert.Contains($"ABI version {NativeLoader.ExpectedAbiVersion + 1}", error.Message, StringComparison.Ordinal);
        Assert.Contains($"needs version {NativeLoader.ExpectedAbiVersion}", error.Message, StringComparison.Ordinal);
        Assert.Contains("/lib/libllama.so", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_error_names_every_path_and_what_the_system_said()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("foretoken-");
        try
        {
            string empty = folder.CreateSubdirectory("empty").FullName;
            string broken = folder.CreateSubdirectory("broken").FullName;
            File.WriteAllText(Path.Combine(broken, "libbroken.so"), "not a library");
            NativeLibraryException error = Assert.Throws<NativeLibraryException>(() =>
                NativeLoader.Load([empty, broken], "libbroken.so")
            );
            Assert.Contains(
                Path.Combine(empty, "libbroken.so") + ": no such file",
                error.Message,
                StringComparison.Ordinal
            );
            string systemMessage = error.Message[
                error.Message.IndexOf(Path.Combine(broken, "libbroken.so"), StringComparison.Ordinal)..
            ];
            if (OperatingSystem.IsLinux())
            {
                Assert.Contains("file too short", systemMessage, StringComparison.Ordinal);
            }
            Assert.Contains(NativeLoader.DirectoryVariable, error.Message, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData(NativeStatus.InvalidArgument, typeof(ArgumentException))]
    [InlineData(NativeStatus.FileNotFound, typeof(ModelLoadException))]
    [InlineData(NativeStatus.BadModel, typeof(ModelLoadException))]
    [InlineData(NativeStatus.Unsupported, typeof(UnsupportedModelException))]
    [InlineData(NativeStatus.OutOfMemory, typeof(InsufficientNativeMemoryException))]
    [InlineData(NativeStatus.ContextFull, typeof(ContextFullException))]
    [InlineData(NativeStatus.Cancelled, typeof(OperationCanceledException))]
    [InlineData(NativeStatus.ComputeFailed, typeof(ComputeException))]
    [InlineData(NativeStatus.CallbackFailed, typeof(ComputeException))]
    [InlineData(NativeStatus.StateMismatch, typeof(StateMismatchException))]
    [InlineData(NativeStatus.DeviceMissing, typeof(DeviceUnavailableException))]
    [InlineData(NativeStatus.DeviceLost, typeof(DeviceLostException))]
    [InlineData(NativeStatus.TemplateFailed, typeof(ChatTemplateException))]
    [InlineData(NativeStatus.GrammarFailed, typeof(GrammarException))]
    [InlineData(NativeStatus.Internal, typeof(ForetokenException))]
    [InlineData((NativeStatus)1234, typeof(ForetokenException))]
    public void Every_status_has_its_exception(object value, Type expected)
    {
        NativeStatus status = (NativeStatus)value;
        Exception error = NativeCall.ToException(status, "the message", CancellationToken.None);
        Assert.IsType(expected, error);
        Assert.Contains("the message", error.Message, StringComparison.Ordinal);
        Assert.NotEqual("", NativeCall.ToException(status, "", CancellationToken.None).Message);
    }
}
