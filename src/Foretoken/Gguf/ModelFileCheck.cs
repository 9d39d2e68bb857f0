using System.Globalization;
using Foretoken.Errors;
using Foretoken.Plans;

namespace Foretoken.Gguf;

/// <summary>
/// Looks at a model file before native code does: that it exists, is GGUF, is complete and consistent, has an architecture that
/// can be used, and fits into memory.
/// </summary>
/// <remarks>
/// Reads headers only, of every shard. What passes can still be refused by the native library; what fails here is a
/// <see cref="ModelFileException"/> with advice instead of a message from a loader, or of a process that aborts. Thread-safe.
/// </remarks>
internal static class ModelFileCheck
{
    private const int DefaultContextSize = 8192;

    // a rough allowance for compute buffers, logits and the runtime itself
    private const long BufferBytes = 192L << 20;

    private const string ConvertAgain = "Convert the model to GGUF again, or use another conversion.";
    private const string DownloadAgain = "Download or copy it again.";

    /// <summary>Checks a model file.</summary>
    /// <param name="path">GGUF file; of a split model, its first shard.</param>
    /// <param name="options">What to insist on; <see langword="null"/> for the defaults.</param>
    /// <returns>What was found out.</returns>
    /// <exception cref="ModelFileNotFoundException">The file or one of its shards is not there.</exception>
    /// <exception cref="ModelFileFormatException">It is not GGUF, or contradicts itself.</exception>
    /// <exception cref="ModelFileTruncatedException">It ends before its tensors do.</exception>
    /// <exception cref="ModelFileUnsupportedException">Its architecture cannot be used.</exception>
    /// <exception cref="ModelFileTooLargeException">It does not fit into memory.</exception>
    /// <exception cref="ModelFileException">It could not be read.</exception>
    public static ModelFileInfo Check(string path, ModelFileCheckOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ModelFileCheckOptions();

        GgufFile first = ReadHeader(path);
        (IReadOnlyList<string> shards, List<GgufFile> headers) = ReadShards(path, first);
        for (int i = 0; i < headers.Count; i++)
        {
            if (headers[i].IsTruncated)
            {
                throw new ModelFileTruncatedException(shards[i], headers[i].RequiredLength, headers[i].FileLength);
            }
        }

        string architecture =
            first.GetString("general.architecture")
            ?? throw Inconsistent(path, "its header lacks the text 'general.architecture'.");
        EnsureUsable(path, architecture);
        CheckEpsilons(path, first);

        string? obstacle = Architectures.FindObstacle(architecture, first);
        if (obstacle is not null && options.RequireStaging)
        {
            throw new ModelFileUnsupportedException(
                path,
                architecture,
                $"the prefill of architecture '{architecture}' cannot be staged: {obstacle}.",
                "Use a model of the Llama, Qwen2, Qwen3, Gemma (1), Granite or Mistral family, or turn staging off."
            );
        }

        Dictionary<string, GgufTensor> tensors = CollectTensors(path, headers);
        // what stands in the way of staging also means other keys and tensors: those are the loader's business
        ModelShape? shape = obstacle is null ? ReadShape(path, architecture, first, tensors) : null;
        if (shape is not null)
        {
            CheckTokenizer(path, first, shape);
        }

        int trainingContext = (int)Math.Clamp(first.GetInt64($"{architecture}.context_length") ?? 0, 0, int.MaxValue);
        long weightBytes = tensors.Values.Sum(t => t.ByteLength);
        long estimate = EstimateMemory(shape, weightBytes, trainingContext, options);
        long available = options.AvailableMemoryBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (estimate > available)
        {
            throw new ModelFileTooLargeException(path, estimate, available);
        }

        return new ModelFileInfo
        {
            Path = path,
            Shards = shards,
            Header = first,
            Architecture = architecture,
            StagingObstacle = obstacle,
            Shape = shape,
            TrainingContextSize = trainingContext,
            ParameterCount = tensors.Values.Sum(t => t.ElementCount),
            WeightBytes = weightBytes,
            EstimatedMemoryBytes = estimate,
        };
    }

    private static GgufFile ReadHeader(string path)
    {
        if (Directory.Exists(path))
        {
            throw new ModelFileNotFoundException(
                path,
                "this is a folder.",
                "Give the path of a .gguf file; of a split model, that of its first shard."
            );
        }

        try
        {
            return GgufReader.Read(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ModelFileNotFoundException(
                path,
                $"there is no such file (looked for '{Path.GetFullPath(path)}').",
                "Check the path; relative paths start at the current folder.",
                e
            );
        }
        catch (GgufFormatException e)
        {
            throw new ModelFileFormatException(path, $"not a well-formed GGUF file. {e.Message}.", AdviceFor(path), e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelFileException(
                path,
                $"it could not be read. {e.Message}",
                "Check the permissions and the disk.",
                e
            );
        }
    }

    // what the first bytes say about files that people take for models
    private static string AdviceFor(string path)
    {
        byte[] head = new byte[16];
        int length;
        try
        {
            using FileStream stream = File.OpenRead(path);
            length = stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return DownloadAgain;
        }

        ReadOnlySpan<byte> bytes = head.AsSpan(0, length);
        return bytes.IsEmpty ? "The file is empty. " + DownloadAgain
            : bytes.StartsWith("version https://"u8) ? "This is a Git LFS pointer: run 'git lfs pull'."
            : bytes.StartsWith("<"u8)
                ? "This is a web page, perhaps of a download that asks to sign in. " + DownloadAgain
            : bytes.StartsWith("PK"u8) ? "This is an archive or a PyTorch file. Convert the model to GGUF."
            : bytes.Length > 9 && bytes[8] == (byte)'{' ? "This looks like safetensors. Convert the model to GGUF."
            : bytes.StartsWith("GGUF"u8) ? DownloadAgain
            : "Only GGUF files can be used.";
    }

    private static void EnsureUsable(string path, string architecture)
    {
        if (!Architectures.IsKnown(architecture))
        {
            throw new ModelFileUnsupportedException(
                path,
                architecture,
                $"llama.cpp, in the release this library is built on, does not know the architecture '{architecture}'.",
                "Use a model of another architecture, for example of the Llama family."
            );
        }
    }

    private static (IReadOnlyList<string> Paths, List<GgufFile> Headers) ReadShards(string path, GgufFile first)
    {
        List<GgufFile> headers = [first];
        long count = first.GetInt64(GgufShardName.CountKey) ?? 1;
        if (count <= 1)
        {
            return ([path], headers);
        }

        GgufShardName? name = GgufShardName.Parse(path);
        long number = first.GetInt64(GgufShardName.NumberKey) ?? 0;
        if (name is null || name.Count != count || name.Index != number)
        {
            throw new ModelFileFormatException(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it is shard {number + 1} of {count} of a split model, but not named so."
                ),
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Give the shards their names back: <model>-{number + 1:D5}-of-{count:D5}.gguf."
                )
            );
        }

        if (number != 0)
        {
            throw new ModelFileFormatException(
                path,
                $"it is shard {number + 1} of {count} of a split model.",
                $"Give the first one: '{name with { Index = 0 }}'."
            );
        }

        string[] paths = [.. name.All()];
        for (int i = 1; i < paths.Length; i++)
        {
            if (!File.Exists(paths[i]))
            {
                throw new ModelFileNotFoundException(
                    paths[i],
                    $"this shard of '{Path.GetFileName(path)}' is missing.",
                    $"All {count} shards must lie in one folder."
                );
            }

            GgufFile shard = ReadHeader(paths[i]);
            if (shard.GetInt64(GgufShardName.NumberKey) != i || shard.GetInt64(GgufShardName.CountKey) != count)
            {
                throw Inconsistent(paths[i], $"its header does not say that it is shard {i + 1} of {count}.");
            }

            headers.Add(shard);
        }

        long tensors = headers.Sum(h => (long)h.Tensors.Count);
        if (first.GetInt64(GgufShardName.TensorCountKey) is { } expected && expected != tensors)
        {
            throw Inconsistent(path, $"its shards have {tensors} tensors; {expected} are announced.");
        }

        return (paths, headers);
    }

    private static Dictionary<string, GgufTensor> CollectTensors(string path, List<GgufFile> headers)
    {
        Dictionary<string, GgufTensor> tensors = new(StringComparer.Ordinal);
        foreach (GgufFile header in headers)
        {
            foreach (GgufTensor tensor in header.Tensors)
            {
                if (!tensors.TryAdd(tensor.Name, tensor))
                {
                    throw Inconsistent(path, $"tensor '{tensor.Name}' is in two shards.");
                }
            }
        }

        return tensors;
    }

    /// <summary>What is added under the square root of a norm: computing with a negative one ends the process.</summary>
    private static void CheckEpsilons(string path, GgufFile header)
    {
        foreach ((string key, GgufValue value) in header.Metadata)
        {
            if (
                key.EndsWith("epsilon", StringComparison.Ordinal)
                && value.TryGetDouble(out double epsilon)
                && !(epsilon >= 0 && double.IsFinite(epsilon))
            )
            {
                throw Inconsistent(
                    path,
                    string.Create(CultureInfo.InvariantCulture, $"'{key}' is {epsilon}; it must not be negative.")
                );
            }
        }
    }

    private static ModelShape ReadShape(
        string path,
        string architecture,
        GgufFile header,
        Dictionary<string, GgufTensor> tensors
    )
    {
        // some architectures give one number per layer: the largest stands for all
        int Read(string key, int? fallback = null)
        {
            string fullKey = $"{architecture}.{key}";
            long? value =
                !header.TryGetValue(fullKey, out GgufValue? entry) ? fallback
                : entry.TryGetInt64(out long single) ? single
                : entry is { IsArray: true, Count: > 0, ElementType: GgufValueType.Int32 } ? entry.GetArray<int>().Max()
                : entry is { IsArray: true, Count: > 0, ElementType: GgufValueType.UInt32 }
                    ? entry.GetArray<uint>().Max()
                : null;
            return value switch
            {
                null => throw Inconsistent(path, $"its header lacks the number '{fullKey}'."),
                <= 0 or > int.MaxValue => throw Inconsistent(
                    path,
                    $"'{fullKey}' is {value}; a positive number is needed."
                ),
                _ => (int)value,
            };
        }

        int layers = Read("block_count");
        int embedding = Read("embedding_length");
        int heads = Read("attention.head_count");
        int kvHeads = Read("attention.head_count_kv", heads);
        int headSize = Read("attention.key_length", Math.Max(1, embedding / heads));
        int experts = Read("expert_used_count", 1);
        int feedForward = header.TryGetValue($"{architecture}.expert_feed_forward_length", out _)
            ? checked((int)Math.Min(int.MaxValue, (long)experts * Read("expert_feed_forward_length")))
            : checked((int)Math.Min(int.MaxValue, (long)experts * Read("feed_forward_length")));
        if (heads % kvHeads != 0)
        {
            throw Inconsistent(path, $"{heads} attention heads cannot share {kvHeads} KV heads evenly.");
        }

        if (!tensors.TryGetValue("token_embd.weight", out GgufTensor? tokenEmbedding))
        {
            throw Inconsistent(path, "it has no tensor 'token_embd.weight'.");
        }

        if (tokenEmbedding.Shape.Count != 2 || tokenEmbedding.Shape[0] != embedding)
        {
            throw Inconsistent(path, $"tensor {tokenEmbedding} does not fit 'embedding_length' {embedding}.");
        }

        string lastLayer = string.Create(CultureInfo.InvariantCulture, $"blk.{layers - 1}.");
        string beyond = string.Create(CultureInfo.InvariantCulture, $"blk.{layers}.");
        if (!tensors.Keys.Any(name => name.StartsWith(lastLayer, StringComparison.Ordinal)))
        {
            throw Inconsistent(path, $"it has no tensors of layer {layers - 1}, though 'block_count' is {layers}.");
        }

        if (tensors.Keys.Any(name => name.StartsWith(beyond, StringComparison.Ordinal)))
        {
            throw Inconsistent(path, $"it has tensors of layer {layers}, though 'block_count' is {layers}.");
        }

        return new ModelShape
        {
            LayerCount = layers,
            EmbeddingSize = embedding,
            HeadCount = heads,
            KvHeadCount = kvHeads,
            HeadSize = headSize,
            FeedForwardSize = feedForward,
            VocabularySize = (int)Math.Min(tokenEmbedding.Shape[1], int.MaxValue),
        };
    }

    // llama.cpp asserts these types: a wrong one would end the process
    private static void CheckTokenizer(string path, GgufFile header, ModelShape shape)
    {
        if (header.GetString("tokenizer.ggml.model") is not { } model)
        {
            throw Inconsistent(path, "its header lacks the text 'tokenizer.ggml.model'.");
        }

        if (model is "no_vocab" or "none")
        {
            return;
        }

        long tokens = CountOf("tokenizer.ggml.tokens", GgufValueType.String, isRequired: true);
        if (tokens > shape.VocabularySize)
        {
            throw Inconsistent(path, $"its vocabulary has {tokens} tokens, its embedding {shape.VocabularySize}.");
        }

        CountOf("tokenizer.ggml.merges", GgufValueType.String, isRequired: model == "gpt2");
        foreach (
            (string key, GgufValueType type) in new[]
            {
                ("tokenizer.ggml.scores", GgufValueType.Float32),
                ("tokenizer.ggml.token_type", GgufValueType.Int32),
            }
        )
        {
            if (CountOf(key, type, isRequired: false) is var count && count >= 0 && count < tokens)
            {
                throw Inconsistent(path, $"'{key}' has {count} elements for {tokens} tokens.");
            }
        }

        long CountOf(string key, GgufValueType type, bool isRequired)
        {
            if (!header.TryGetValue(key, out GgufValue? value))
            {
                return isRequired ? throw Inconsistent(path, $"its header lacks '{key}'.") : -1;
            }

            return value.IsArray && value.ElementType == type
                ? value.Count
                : throw Inconsistent(path, $"'{key}' is {value}; an array of {type} is needed.");
        }
    }

    private static long EstimateMemory(
        ModelShape? shape,
        long weightBytes,
        int trainingContext,
        ModelFileCheckOptions options
    )
    {
        int context =
            options.ContextSize > 0 ? options.ContextSize
            : trainingContext > 0 ? Math.Min(trainingContext, DefaultContextSize)
            : DefaultContextSize;
        if (shape is null)
        {
            return (options.GpuLayers == 0 ? weightBytes : 0) + BufferBytes;
        }

        double inMainMemory =
            options.GpuLayers < 0 ? 0 : Math.Max(0, 1 - ((double)options.GpuLayers / (shape.LayerCount + 1)));
        double kvBytes = 2.0 * shape.LayerCount * shape.KvSize * context * options.KvBytesPerNumber;
        return (long)Math.Min(long.MaxValue / 2, (inMainMemory * (weightBytes + kvBytes)) + BufferBytes);
    }

    private static ModelFileFormatException Inconsistent(string path, string problem) =>
        new(path, problem, ConvertAgain);
}
