using System.Globalization;
using System.Runtime.InteropServices;
using Foretoken.Gguf;
using Foretoken.Plans;

namespace Foretoken.Tuning.Models;

/// <summary>
/// Writes Llama models with random weights: as large and as fast as real ones, without anything to say. Speed can be measured
/// with them before a model is downloaded.
/// </summary>
/// <remarks>
/// Weights are drawn with the variance 1 / inputs (further divided by twice the layers where a matrix writes to the residual
/// stream), so that activations stay finite at any depth. Quantised blocks are drawn directly. The tokeniser is a working
/// byte-level BPE with a few merges; the rest of the vocabulary are placeholders.
/// </remarks>
internal static class SyntheticModel
{
    private const double EmbeddingDeviation = 0.02;
    private const double RmsEpsilon = 1e-5;
    private const int BufferBytes = 1 << 20;

    /// <summary>Writes a model.</summary>
    /// <param name="path">Path of the file; it appears when it is complete, and replaces an existing one.</param>
    /// <param name="spec">Which model.</param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <exception cref="ArgumentException">
    /// The sizes cannot be written: a width is no multiple of the weight type's block, the heads cannot share the KV heads, or
    /// the vocabulary is too small for a tokeniser.
    /// </exception>
    /// <exception cref="IOException">The file could not be written.</exception>
    public static void Write(string path, SyntheticModelSpec spec, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Declare(spec, out GgufWriter writer, out Dictionary<string, double> deviations);
        writer.WriteFile(
            path,
            (tensor, output) => WriteTensor(tensor, deviations[tensor.Name], spec.Seed, output),
            cancellationToken
        );
    }

    /// <summary>Bytes of the file that <see cref="Write"/> would write.</summary>
    /// <param name="spec">Which model.</param>
    /// <exception cref="ArgumentException">As there.</exception>
    public static long GetFileLength(SyntheticModelSpec spec)
    {
        Declare(spec, out GgufWriter writer, out _);
        return writer.FileLength;
    }

    // deviations: 0 stands for a norm, whose weights are 1
    private static void Declare(
        SyntheticModelSpec spec,
        out GgufWriter writer,
        out Dictionary<string, double> deviations
    )
    {
        ArgumentNullException.ThrowIfNull(spec);
        ModelShape shape = spec.Shape;
        if (shape.HeadCount % shape.KvHeadCount != 0)
        {
            throw new ArgumentException(
                $"{shape.HeadCount} heads cannot share {shape.KvHeadCount} KV heads evenly.",
                nameof(spec)
            );
        }

        if (shape.HeadSize % 2 != 0)
        {
            throw new ArgumentException(
                $"RoPE rotates pairs: the head size {shape.HeadSize} must be even.",
                nameof(spec)
            );
        }

        writer = new GgufWriter();
        SetMetadata(writer, spec);
        SyntheticVocabulary.SetMetadata(writer, shape.VocabularySize);

        GgufWriter w = writer;
        Dictionary<string, double> scales = deviations = new Dictionary<string, double>(StringComparer.Ordinal);
        void Matrix(string name, int inputs, int outputs, double deviation)
        {
            w.AddTensor(name, spec.WeightType, inputs, outputs);
            scales.Add(name, deviation);
        }

        void Norm(string name)
        {
            w.AddTensor(name, GgufTensorType.F32, shape.EmbeddingSize);
            scales.Add(name, 0);
        }

        int d = shape.EmbeddingSize;
        double residual = 1 / Math.Sqrt(2.0 * shape.LayerCount);
        Matrix("token_embd.weight", d, shape.VocabularySize, EmbeddingDeviation);
        for (int layer = 0; layer < shape.LayerCount; layer++)
        {
            string prefix = string.Create(CultureInfo.InvariantCulture, $"blk.{layer}.");
            double fromModel = 1 / Math.Sqrt(d);
            Norm(prefix + "attn_norm.weight");
            Matrix(prefix + "attn_q.weight", d, shape.QuerySize, fromModel);
            Matrix(prefix + "attn_k.weight", d, shape.KvSize, fromModel);
            Matrix(prefix + "attn_v.weight", d, shape.KvSize, fromModel);
            Matrix(prefix + "attn_output.weight", shape.QuerySize, d, residual / Math.Sqrt(shape.QuerySize));
            Norm(prefix + "ffn_norm.weight");
            Matrix(prefix + "ffn_gate.weight", d, shape.FeedForwardSize, fromModel);
            Matrix(prefix + "ffn_up.weight", d, shape.FeedForwardSize, fromModel);
            Matrix(prefix + "ffn_down.weight", shape.FeedForwardSize, d, residual / Math.Sqrt(shape.FeedForwardSize));
        }

        Norm("output_norm.weight");
        if (!spec.TiesEmbeddings)
        {
            Matrix("output.weight", d, shape.VocabularySize, EmbeddingDeviation);
        }
    }

    private static void SetMetadata(GgufWriter writer, SyntheticModelSpec spec)
    {
        ModelShape shape = spec.Shape;
        writer.Set("general.architecture", GgufValue.From("llama"));
        writer.Set("general.type", GgufValue.From("model"));
        writer.Set("general.name", GgufValue.From($"synthetic {spec.Name} (random weights)"));
        writer.Set("general.file_type", GgufValue.From(FileType(spec.WeightType)));
        writer.Set("general.quantization_version", GgufValue.From(2u));
        writer.Set("llama.block_count", GgufValue.From((uint)shape.LayerCount));
        writer.Set("llama.context_length", GgufValue.From((uint)spec.ContextSize));
        writer.Set("llama.embedding_length", GgufValue.From((uint)shape.EmbeddingSize));
        writer.Set("llama.feed_forward_length", GgufValue.From((uint)shape.FeedForwardSize));
        writer.Set("llama.attention.head_count", GgufValue.From((uint)shape.HeadCount));
        writer.Set("llama.attention.head_count_kv", GgufValue.From((uint)shape.KvHeadCount));
        writer.Set("llama.attention.key_length", GgufValue.From((uint)shape.HeadSize));
        writer.Set("llama.attention.value_length", GgufValue.From((uint)shape.HeadSize));
        writer.Set("llama.attention.layer_norm_rms_epsilon", GgufValue.From((float)RmsEpsilon));
        writer.Set("llama.rope.dimension_count", GgufValue.From((uint)shape.HeadSize));
        writer.Set("llama.rope.freq_base", GgufValue.From((float)spec.RopeBase));
        writer.Set("llama.vocab_size", GgufValue.From((uint)shape.VocabularySize));
    }

    // llama_ftype
    private static uint FileType(GgufTensorType type) =>
        type switch
        {
            GgufTensorType.F32 => 0,
            GgufTensorType.F16 => 1,
            GgufTensorType.Q40 => 2,
            GgufTensorType.Q80 => 7,
            _ => throw new ArgumentException(
                $"Random weights of type {type} cannot be written; use Q40, Q80, F16 or F32."
            ),
        };

    private static void WriteTensor(GgufTensor tensor, double deviation, int seed, Stream output)
    {
        int blockBytes = tensor.Type.BlockBytes();
        byte[] buffer = new byte[Math.Min(tensor.ByteLength, BufferBytes / blockBytes * blockBytes)];
        Xoshiro random = new(Xoshiro.SeedOf(seed, tensor.Name));
        Func<Span<byte>, Xoshiro, Xoshiro> fill = Filler(tensor.Type, deviation);
        long left = tensor.ByteLength;
        while (left > 0)
        {
            Span<byte> chunk = buffer.AsSpan(0, (int)Math.Min(left, buffer.Length));
            random = fill(chunk, random);
            output.Write(chunk);
            left -= chunk.Length;
        }
    }

    private static Func<Span<byte>, Xoshiro, Xoshiro> Filler(GgufTensorType type, double deviation)
    {
        if (deviation == 0)
        {
            return (chunk, random) =>
            {
                MemoryMarshal.Cast<byte, float>(chunk).Fill(1);
                return random;
            };
        }

        switch (type)
        {
            case GgufTensorType.Q40:
                Half[] scales4 = Scales(deviation / Math.Sqrt(280.0 / 16));
                return (chunk, random) => FillQ40(chunk, scales4, random);
            case GgufTensorType.Q80:
                // uniform over the 256 values of a signed byte
                Half[] scales8 = Scales(deviation / Math.Sqrt((256.0 * 256 - 1) / 12));
                return (chunk, random) => FillQ80(chunk, scales8, random);
            case GgufTensorType.F16:
                return (chunk, random) =>
                {
                    foreach (ref Half weight in MemoryMarshal.Cast<byte, Half>(chunk))
                    {
                        weight = (Half)Uniform(ref random, deviation);
                    }

                    return random;
                };
            default:
                return (chunk, random) =>
                {
                    foreach (ref float weight in MemoryMarshal.Cast<byte, float>(chunk))
                    {
                        weight = Uniform(ref random, deviation);
                    }

                    return random;
                };
        }
    }

    // block_q4_0: a half d and 32 nibbles q; a weight is d (q - 8)
    private static Xoshiro FillQ40(Span<byte> chunk, Half[] scales, Xoshiro random)
    {
        const ulong Ones = 0x1111_1111_1111_1111;
        for (; chunk.Length > 0; chunk = chunk[18..])
        {
            ulong scale = random.Next();
            MemoryMarshal.Write(chunk, scales[(byte)(scale >> 56)]);
            for (int i = 2; i < 18; i += 8)
            {
                // 0 becomes 8: without a partner for -8 the weights would have a mean, which adds up over the inputs.
                // What is left has the variance 280/16.
                ulong q = random.Next();
                ulong isZero = ~(q | (q >> 1) | (q >> 2) | (q >> 3)) & Ones;
                MemoryMarshal.Write(chunk[i..], q | (isZero << 3));
            }
        }

        return random;
    }

    // block_q8_0: a half d and 32 signed bytes q; a weight is d q
    private static Xoshiro FillQ80(Span<byte> chunk, Half[] scales, Xoshiro random)
    {
        for (; chunk.Length > 0; chunk = chunk[34..])
        {
            MemoryMarshal.Write(chunk, scales[(byte)(random.Next() >> 56)]);
            for (int i = 2; i < 34; i += 8)
            {
                MemoryMarshal.Write(chunk[i..], random.Next());
            }
        }

        return random;
    }

    // the scales of real blocks differ: by up to a quarter here
    private static Half[] Scales(double scale)
    {
        Half[] scales = new Half[256];
        for (int i = 0; i < scales.Length; i++)
        {
            scales[i] = (Half)(scale * (0.75 + (0.5 * i / (scales.Length - 1))));
        }

        return scales;
    }

    private static float Uniform(ref Xoshiro random, double deviation) =>
        (float)((((random.Next() >> 11) * (2.0 / (1ul << 53))) - 1) * deviation * Math.Sqrt(3));
}
