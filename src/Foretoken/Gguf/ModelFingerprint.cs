using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Foretoken.Errors;
using Microsoft.Win32.SafeHandles;

namespace Foretoken.Gguf;

/// <summary>Identifies a model by its weights, whatever its files are called and however they are split.</summary>
/// <remarks>
/// SHA-256 over the tensors in the order of their names: name, type, shape, and a sample of the data. Tensors of up to 16 KiB
/// are read whole; of a larger one four spans of 4 KiB, spread from its beginning to its end. Training and quantisation change
/// weights everywhere, so a sample tells models apart; it does not prove that a file is undamaged. Reads some megabytes of a
/// model of any size. Thread-safe.
/// </remarks>
internal static class ModelFingerprint
{
    private const int SpanBytes = 4096;
    private const int Spans = 4;

    // what is hashed, and in which order, is part of the fingerprint
    private const string Scheme = "foretoken-fingerprint-1";

    /// <summary>Computes the fingerprint of a model.</summary>
    /// <param name="path">GGUF file; of a split model, its first shard.</param>
    /// <returns>64 hexadecimal digits, lower case.</returns>
    /// <inheritdoc cref="ModelFileCheck.Check" path="/exception"/>
    public static string Compute(string path) =>
        Compute(
            ModelFileCheck.Check(
                path,
                new ModelFileCheckOptions { RequireStaging = false, AvailableMemoryBytes = long.MaxValue }
            )
        );

    /// <summary>Computes the fingerprint of a model that was checked.</summary>
    /// <param name="model">The model.</param>
    /// <returns>64 hexadecimal digits, lower case.</returns>
    /// <exception cref="IOException">A file of the model could not be read.</exception>
    /// <exception cref="GgufFormatException">A file of the model changed since it was checked.</exception>
    public static string Compute(ModelFileInfo model)
    {
        ArgumentNullException.ThrowIfNull(model);
        SafeFileHandle[] files = new SafeFileHandle[model.Shards.Count];
        try
        {
            List<(GgufTensor Tensor, SafeFileHandle File, long Offset)> tensors = [];
            for (int i = 0; i < files.Length; i++)
            {
                GgufFile header = i == 0 ? model.Header : GgufReader.Read(model.Shards[i]);
                files[i] = File.OpenHandle(model.Shards[i], options: FileOptions.RandomAccess);
                foreach (GgufTensor tensor in header.Tensors)
                {
                    tensors.Add((tensor, files[i], header.DataOffset + tensor.Offset));
                }
            }

            tensors.Sort((a, b) => string.CompareOrdinal(a.Tensor.Name, b.Tensor.Name));
            using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            Append(hash, Scheme);
            byte[] sample = new byte[Spans * SpanBytes];
            foreach ((GgufTensor tensor, SafeFileHandle file, long offset) in tensors)
            {
                Append(hash, tensor.Name);
                Append(hash, (long)tensor.Type);
                Append(hash, tensor.Shape.Count);
                foreach (long length in tensor.Shape)
                {
                    Append(hash, length);
                }

                hash.AppendData(sample, 0, Sample(file, offset, tensor.ByteLength, sample));
            }

            return Convert.ToHexStringLower(hash.GetHashAndReset());
        }
        finally
        {
            foreach (SafeFileHandle? file in files)
            {
                file?.Dispose();
            }
        }
    }

    private static int Sample(SafeFileHandle file, long offset, long length, byte[] sample)
    {
        if (length <= sample.Length)
        {
            ReadExactly(file, offset, sample.AsSpan(0, (int)length));
            return (int)length;
        }

        for (int i = 0; i < Spans; i++)
        {
            long begin = (length - SpanBytes) / (Spans - 1) * i;
            // the last span ends with the tensor, whatever the division left over
            begin = i == Spans - 1 ? length - SpanBytes : begin;
            ReadExactly(file, offset + begin, sample.AsSpan(i * SpanBytes, SpanBytes));
        }

        return sample.Length;
    }

    private static void ReadExactly(SafeFileHandle file, long offset, Span<byte> target)
    {
        while (!target.IsEmpty)
        {
            int read = RandomAccess.Read(file, target, offset);
            if (read == 0)
            {
                throw new GgufFormatException("The file ended early", offset);
            }

            target = target[read..];
            offset += read;
        }
    }

    private static void Append(IncrementalHash hash, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Append(hash, bytes.Length);
        hash.AppendData(bytes);
    }

    private static void Append(IncrementalHash hash, long number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        hash.AppendData(bytes);
    }
}
