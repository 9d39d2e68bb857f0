using System.Buffers;
using Foretoken.Errors;
using Foretoken.Gguf;

namespace Foretoken.Tuning.Models;

/// <summary>Splits a GGUF file into shards that llama.cpp loads as one model.</summary>
/// <remarks>
/// Names and keys are those of llama.cpp's <c>gguf-split</c>: all metadata goes into the first shard, every shard has
/// <c>split.no</c>, <c>split.count</c> and <c>split.tensors.count</c>. Tensor data is copied unchanged.
/// </remarks>
internal static class GgufSplitter
{
    /// <summary>Splits a file.</summary>
    /// <param name="source">Path of a complete, unsplit GGUF file.</param>
    /// <param name="prefix">Path of the shards up to <c>-00001-of-0000n.gguf</c>; existing shards are replaced.</param>
    /// <param name="maxShardBytes">Most bytes of a shard, header included.</param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <returns>The paths of the shards; llama.cpp is given the first.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="maxShardBytes"/> is too small for the metadata or for one of the tensors.
    /// </exception>
    /// <exception cref="GgufFormatException">The source is no GGUF file, truncated, or already split.</exception>
    /// <exception cref="IOException">A file could not be read or written.</exception>
    public static IReadOnlyList<string> Split(
        string source,
        string prefix,
        long maxShardBytes,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        ArgumentException.ThrowIfNullOrEmpty(prefix);
        GgufFile file = GgufReader.Read(source);
        if (file.IsTruncated)
        {
            throw new GgufFormatException(
                $"The file has {file.FileLength} bytes; its tensors need {file.RequiredLength}",
                file.FileLength
            );
        }

        if (file.GetInt64(GgufShardName.CountKey) is > 1)
        {
            throw new GgufFormatException("The file is one shard of a model that is already split", 0);
        }

        List<GgufWriter> shards = Plan(file, maxShardBytes);
        if (shards.Count > GgufShardName.MaxCount)
        {
            throw new ArgumentOutOfRangeException(
                nameof(maxShardBytes),
                maxShardBytes,
                $"{shards.Count} shards would be needed; at most {GgufShardName.MaxCount} are possible."
            );
        }

        Dictionary<string, GgufTensor> sources = file.Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        List<string> paths = [];
        using FileStream input = new(source, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1);
        for (int i = 0; i < shards.Count; i++)
        {
            shards[i].Set(GgufShardName.CountKey, GgufValue.From((ushort)shards.Count));
            string path = new GgufShardName(prefix, i, shards.Count).ToString();
            shards[i]
                .WriteFile(
                    path,
                    (tensor, output) =>
                        Copy(input, file.DataOffset + sources[tensor.Name].Offset, tensor.ByteLength, output),
                    cancellationToken
                );
            paths.Add(path);
        }

        return paths;
    }

    private static List<GgufWriter> Plan(GgufFile file, long maxShardBytes)
    {
        List<GgufWriter> shards = [];

        GgufWriter Begin()
        {
            // only the first shard carries general.alignment; the others use the default
            GgufWriter shard = shards.Count == 0 ? new(file.Alignment) : new();
            if (shards.Count == 0)
            {
                foreach ((string key, GgufValue value) in file.Metadata)
                {
                    shard.Set(key, value);
                }
            }

            shard.Set(GgufShardName.NumberKey, GgufValue.From((ushort)Math.Min(shards.Count, ushort.MaxValue)));
            shard.Set(GgufShardName.CountKey, GgufValue.From((ushort)0)); // known when the plan is complete
            shard.Set(GgufShardName.TensorCountKey, GgufValue.From(file.Tensors.Count));
            shards.Add(shard);
            return shard;
        }

        GgufWriter current = Begin();
        foreach (GgufTensor tensor in file.Tensors)
        {
            long[] shape = [.. tensor.Shape];
            // entry: name, dimensions, type, offset; the header's own padding; the data's
            long extra =
                24 + (4L * tensor.Name.Length) + (8L * shape.Length) + (2L * current.Alignment) + tensor.ByteLength;
            if (current.FileLength + extra > maxShardBytes && current.Tensors.Count > 0)
            {
                current = Begin();
            }

            current.AddTensor(tensor.Name, tensor.Type, shape);
            if (current.FileLength > maxShardBytes)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(maxShardBytes),
                    maxShardBytes,
                    $"A shard with '{tensor.Name}' alone needs {current.FileLength} bytes. Allow at least that much per shard."
                );
            }
        }

        return shards;
    }

    private static void Copy(FileStream input, long offset, long length, Stream output)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        try
        {
            input.Position = offset;
            while (length > 0)
            {
                int n = (int)Math.Min(length, buffer.Length);
                input.ReadExactly(buffer, 0, n);
                output.Write(buffer, 0, n);
                length -= n;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
