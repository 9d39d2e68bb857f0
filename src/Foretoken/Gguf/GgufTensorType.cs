namespace Foretoken.Gguf;

/// <summary>
/// Element type of a tensor. The numbers are those of ggml; underscores of its names are left out (<c>q4_0</c> is <see cref="Q40"/>).
/// </summary>
internal enum GgufTensorType
{
    /// <summary>ggml <c>f32</c>: one element in 4 bytes.</summary>
    F32 = 0,

    /// <summary>ggml <c>f16</c>: one element in 2 bytes.</summary>
    F16 = 1,

    /// <summary>ggml <c>q4_0</c>: blocks of 32 elements in 18 bytes.</summary>
    Q40 = 2,

    /// <summary>ggml <c>q4_1</c>: blocks of 32 elements in 20 bytes.</summary>
    Q41 = 3,

    /// <summary>ggml <c>q5_0</c>: blocks of 32 elements in 22 bytes.</summary>
    Q50 = 6,

    /// <summary>ggml <c>q5_1</c>: blocks of 32 elements in 24 bytes.</summary>
    Q51 = 7,

    /// <summary>ggml <c>q8_0</c>: blocks of 32 elements in 34 bytes.</summary>
    Q80 = 8,

    /// <summary>ggml <c>q8_1</c>: blocks of 32 elements in 36 bytes.</summary>
    Q81 = 9,

    /// <summary>ggml <c>q2_K</c>: blocks of 256 elements in 84 bytes.</summary>
    Q2K = 10,

    /// <summary>ggml <c>q3_K</c>: blocks of 256 elements in 110 bytes.</summary>
    Q3K = 11,

    /// <summary>ggml <c>q4_K</c>: blocks of 256 elements in 144 bytes.</summary>
    Q4K = 12,

    /// <summary>ggml <c>q5_K</c>: blocks of 256 elements in 176 bytes.</summary>
    Q5K = 13,

    /// <summary>ggml <c>q6_K</c>: blocks of 256 elements in 210 bytes.</summary>
    Q6K = 14,

    /// <summary>ggml <c>q8_K</c>: blocks of 256 elements in 292 bytes.</summary>
    Q8K = 15,

    /// <summary>ggml <c>iq2_xxs</c>: blocks of 256 elements in 66 bytes.</summary>
    IQ2XXS = 16,

    /// <summary>ggml <c>iq2_xs</c>: blocks of 256 elements in 74 bytes.</summary>
    IQ2XS = 17,

    /// <summary>ggml <c>iq3_xxs</c>: blocks of 256 elements in 98 bytes.</summary>
    IQ3XXS = 18,

    /// <summary>ggml <c>iq1_s</c>: blocks of 256 elements in 50 bytes.</summary>
    IQ1S = 19,

    /// <summary>ggml <c>iq4_nl</c>: blocks of 32 elements in 18 bytes.</summary>
    IQ4NL = 20,

    /// <summary>ggml <c>iq3_s</c>: blocks of 256 elements in 110 bytes.</summary>
    IQ3S = 21,

    /// <summary>ggml <c>iq2_s</c>: blocks of 256 elements in 82 bytes.</summary>
    IQ2S = 22,

    /// <summary>ggml <c>iq4_xs</c>: blocks of 256 elements in 136 bytes.</summary>
    IQ4XS = 23,

    /// <summary>ggml <c>i8</c>: one element in 1 byte.</summary>
    I8 = 24,

    /// <summary>ggml <c>i16</c>: one element in 2 bytes.</summary>
    I16 = 25,

    /// <summary>ggml <c>i32</c>: one element in 4 bytes.</summary>
    I32 = 26,

    /// <summary>ggml <c>i64</c>: one element in 8 bytes.</summary>
    I64 = 27,

    /// <summary>ggml <c>f64</c>: one element in 8 bytes.</summary>
    F64 = 28,

    /// <summary>ggml <c>iq1_m</c>: blocks of 256 elements in 56 bytes.</summary>
    IQ1M = 29,

    /// <summary>ggml <c>bf16</c>: one element in 2 bytes.</summary>
    BF16 = 30,

    /// <summary>ggml <c>tq1_0</c>: blocks of 256 elements in 54 bytes.</summary>
    TQ10 = 34,

    /// <summary>ggml <c>tq2_0</c>: blocks of 256 elements in 66 bytes.</summary>
    TQ20 = 35,

    /// <summary>ggml <c>mxfp4</c>: blocks of 32 elements in 17 bytes.</summary>
    MXFP4 = 39,

    /// <summary>ggml <c>nvfp4</c>: blocks of 64 elements in 36 bytes.</summary>
    NVFP4 = 40,

    /// <summary>ggml <c>q1_0</c>: blocks of 128 elements in 18 bytes.</summary>
    Q10 = 41,

    /// <summary>ggml <c>q2_0</c>: blocks of 64 elements in 18 bytes.</summary>
    Q20 = 42,
}
