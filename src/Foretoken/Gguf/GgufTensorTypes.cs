using System.Diagnostics.CodeAnalysis;

namespace Foretoken.Gguf;

/// <summary>Names and block layout of the tensor types (source: <c>type_traits</c> of ggml, release v0.5.0).</summary>
internal static class GgufTensorTypes
{
    private static readonly Traits?[] Table = CreateTable();

    /// <summary>Whether the type is one that ggml still reads.</summary>
    /// <param name="type">The type as found in a file.</param>
    public static bool IsKnown(GgufTensorType type) => TryGet(type, out _);

    /// <summary>Elements per block: the row length of a tensor is a multiple of it.</summary>
    /// <param name="type">A known type.</param>
    /// <exception cref="ArgumentOutOfRangeException">The type is unknown.</exception>
    public static int BlockLength(this GgufTensorType type) => Get(type).BlockLength;

    /// <summary>Bytes per block.</summary>
    /// <param name="type">A known type.</param>
    /// <exception cref="ArgumentOutOfRangeException">The type is unknown.</exception>
    public static int BlockBytes(this GgufTensorType type) => Get(type).BlockBytes;

    /// <summary>The name ggml uses, for example <c>q4_0</c>.</summary>
    /// <param name="type">A known type.</param>
    /// <exception cref="ArgumentOutOfRangeException">The type is unknown.</exception>
    public static string Name(this GgufTensorType type) => Get(type).Name;

    private static Traits Get(GgufTensorType type) =>
        TryGet(type, out Traits? traits)
            ? traits
            : throw new ArgumentOutOfRangeException(nameof(type), type, "Not a tensor type that ggml reads.");

    private static bool TryGet(GgufTensorType type, [NotNullWhen(true)] out Traits? traits)
    {
        traits = (uint)type < (uint)Table.Length ? Table[(int)type] : null;
        return traits is not null;
    }

    private static Traits?[] CreateTable()
    {
        Traits?[] table = new Traits?[(int)GgufTensorType.Q20 + 1];
        void Add(GgufTensorType type, string name, int blockLength, int blockBytes) =>
            table[(int)type] = new Traits(name, blockLength, blockBytes);

        Add(GgufTensorType.F32, "f32", 1, 4);
        Add(GgufTensorType.F16, "f16", 1, 2);
        Add(GgufTensorType.Q40, "q4_0", 32, 18);
        Add(GgufTensorType.Q41, "q4_1", 32, 20);
        Add(GgufTensorType.Q50, "q5_0", 32, 22);
        Add(GgufTensorType.Q51, "q5_1", 32, 24);
        Add(GgufTensorType.Q80, "q8_0", 32, 34);
        Add(GgufTensorType.Q81, "q8_1", 32, 36);
        Add(GgufTensorType.Q2K, "q2_K", 256, 84);
        Add(GgufTensorType.Q3K, "q3_K", 256, 110);
        Add(GgufTensorType.Q4K, "q4_K", 256, 144);
        Add(GgufTensorType.Q5K, "q5_K", 256, 176);
        Add(GgufTensorType.Q6K, "q6_K", 256, 210);
        Add(GgufTensorType.Q8K, "q8_K", 256, 292);
        Add(GgufTensorType.IQ2XXS, "iq2_xxs", 256, 66);
        Add(GgufTensorType.IQ2XS, "iq2_xs", 256, 74);
        Add(GgufTensorType.IQ3XXS, "iq3_xxs", 256, 98);
        Add(GgufTensorType.IQ1S, "iq1_s", 256, 50);
        Add(GgufTensorType.IQ4NL, "iq4_nl", 32, 18);
        Add(GgufTensorType.IQ3S, "iq3_s", 256, 110);
        Add(GgufTensorType.IQ2S, "iq2_s", 256, 82);
        Add(GgufTensorType.IQ4XS, "iq4_xs", 256, 136);
        Add(GgufTensorType.I8, "i8", 1, 1);
        Add(GgufTensorType.I16, "i16", 1, 2);
        Add(GgufTensorType.I32, "i32", 1, 4);
        Add(GgufTensorType.I64, "i64", 1, 8);
        Add(GgufTensorType.F64, "f64", 1, 8);
        Add(GgufTensorType.IQ1M, "iq1_m", 256, 56);
        Add(GgufTensorType.BF16, "bf16", 1, 2);
        Add(GgufTensorType.TQ10, "tq1_0", 256, 54);
        Add(GgufTensorType.TQ20, "tq2_0", 256, 66);
        Add(GgufTensorType.MXFP4, "mxfp4", 32, 17);
        Add(GgufTensorType.NVFP4, "nvfp4", 64, 36);
        Add(GgufTensorType.Q10, "q1_0", 128, 18);
        Add(GgufTensorType.Q20, "q2_0", 64, 18);
        return table;
    }

    private sealed record Traits(string Name, int BlockLength, int BlockBytes);
}
