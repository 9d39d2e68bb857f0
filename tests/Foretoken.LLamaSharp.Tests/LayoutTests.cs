using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using LLama.Native;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>
/// The structs of LLamaSharp against the offsets that the library in front of libllama was compiled with. They stand in its source,
/// where the compiler asserts them.
/// </summary>
public sealed partial class LayoutTests
{
    /// <summary>The managed structs, and what they are called natively.</summary>
    private static readonly Dictionary<string, string> NativeNames = new()
    {
        ["LLamaModelParams"] = "llamasharp_model_params",
        ["LLamaContextParams"] = "llamasharp_context_params",
        ["LLamaModelQuantizeParams"] = "llamasharp_quantize_params",
        ["LLamaSamplerINative"] = "llamasharp_sampler_i",
        ["LLamaSamplerNative"] = "llama_sampler",
        ["LLamaNativeBatch"] = "llama_batch",
        ["LLamaTokenData"] = "llama_token_data",
        ["LLamaTokenDataArrayNative"] = "llama_token_data_array",
        ["LLamaModelMetadataOverride"] = "llama_model_kv_override",
        ["LLamaModelTensorBufferOverride"] = "llama_model_tensor_buft_override",
        ["LLamaChatMessage"] = "llama_chat_message",
        ["LLamaLogitBias"] = "llama_logit_bias",
        ["LLamaSamplerChainParams"] = "llama_sampler_chain_params",
        ["LLamaPerfContextTimings"] = "llama_perf_context_data",
        ["LLamaSamplingTimings"] = "llama_perf_sampler_data",
    };

    /// <summary>Fields that LLamaSharp calls otherwise.</summary>
    private static readonly Dictionary<string, string> Renamed = new()
    {
        ["context_type"] = "ctx_type",
        ["llama_pooling_type"] = "pooling_type",
        ["llama_flash_attn_type"] = "flash_attn_type",
        ["defrag_threshold"] = "defrag_thold",
        ["abort_callback_user_data"] = "abort_callback_data",
        ["tensor_types"] = "tt_overrides",
        ["Interface"] = "iface",
        ["Context"] = "ctx",
        ["tokens"] = "token",
        ["Probability"] = "p",
        ["IntValue"] = "val_i64",
        ["FloatValue"] = "val_f64",
        ["BoolValue"] = "val_bool",
        ["StringValue"] = "val_str",
        ["BufferType"] = "buft",
    };

    /// <summary>Structs of one number, and one that is never looked into.</summary>
    private static readonly string[] Opaque = ["LLamaPos", "LLamaSeqId", "LLamaToken", "LLamaVocabNative"];

    public static TheoryData<string> Structs => [.. NativeNames.Keys];

    [Theory]
    [MemberData(nameof(Structs))]
    public void The_fields_lie_where_the_native_side_has_them(string name)
    {
        Type type = ManagedType(name);
        string native = NativeNames[name];
        IEnumerable<(string, int)> managed = type.GetFields(
                BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic
            )
            .Where(field => field.Name != "PADDING")
            .Select(field => (Comparable(field.Name), (int)Marshal.OffsetOf(type, field.Name)));

        Assert.Equal(
            Checks().Where(check => check.Type == native).Select(check => (Comparable(check.Field), check.Offset)),
            managed
        );
        Assert.Equal(Sizes()[native], Marshal.SizeOf(type));
    }

    [Fact]
    public void No_struct_that_LLamaSharp_passes_is_left_out()
    {
        HashSet<Type> passed = [];
        foreach (
            MethodInfo method in ImportedMethods.Where(method =>
                method.GetCustomAttribute<DllImportAttribute>()!.Value == "llama"
            )
        )
        {
            Add(method.ReturnType, passed);
            foreach (ParameterInfo parameter in method.GetParameters())
            {
                Add(parameter.ParameterType, passed);
            }
        }
        Assert.Equal(
            // of the timings of samplers LLamaSharp has the struct alone, and no function
            NativeNames.Keys.Except(["LLamaSamplingTimings"]).Concat(Opaque).Order(StringComparer.Ordinal),
            passed.Select(type => type.Name).Order(StringComparer.Ordinal)
        );
        Assert.All(
            Opaque.Except(["LLamaVocabNative"]),
            name => Assert.Equal(sizeof(int), Marshal.SizeOf(ManagedType(name)))
        );
    }

    /// <summary>What LLamaSharp imports of native libraries.</summary>
    internal static IEnumerable<MethodInfo> ImportedMethods =>
        typeof(NativeApi)
            .Assembly.GetTypes()
            .SelectMany(type =>
                type.GetMethods(
                    BindingFlags.Static
                        | BindingFlags.Instance
                        | BindingFlags.Public
                        | BindingFlags.NonPublic
                        | BindingFlags.DeclaredOnly
                )
            )
            .Where(method => method.GetCustomAttribute<DllImportAttribute>() is not null);

    /// <summary>Adds a struct and those that its fields lead to.</summary>
    private static void Add(Type type, HashSet<Type> into)
    {
        while (type.HasElementType)
        {
            type = type.GetElementType()!;
        }
        if (
            type is { IsValueType: true, IsEnum: false, IsPrimitive: false, Namespace: "LLama.Native", IsNested: false }
            && into.Add(type)
        )
        {
            foreach (
                FieldInfo field in type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
            )
            {
                Add(field.FieldType, into);
            }
        }
    }

    private static Type ManagedType(string name) =>
        typeof(NativeApi).Assembly.GetType($"LLama.Native.{name}", throwOnError: true)!;

    private static string Comparable(string name) =>
        Renamed.GetValueOrDefault(name, name).Replace("_", "", StringComparison.Ordinal).ToUpperInvariant();

    private static string Source =>
        File.ReadAllText(Path.Combine(TestModel.Root, "src", "Foretoken.Native", "shims", "llamasharp-0.30.cpp"));

    private static IEnumerable<(string Type, string Field, int Offset)> Checks() =>
        OffsetCheck()
            .Matches(Source)
            .Select(match =>
                (
                    match.Groups[1].Value,
                    match.Groups[2].Value,
                    int.Parse(match.Groups[3].Value, CultureInfo.InvariantCulture)
                )
            );

    private static Dictionary<string, int> Sizes() =>
        SizeCheck()
            .Matches(Source)
            .ToDictionary(
                match => match.Groups[1].Value,
                match => int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture)
            );

    [GeneratedRegex(@"^CHECK\((\w+), (\w+), (\d+)\);", RegexOptions.Multiline)]
    private static partial Regex OffsetCheck();

    [GeneratedRegex(@"^CHECK_SIZE\((\w+), (\d+)\);", RegexOptions.Multiline)]
    private static partial Regex SizeCheck();
}
