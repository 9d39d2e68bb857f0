using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using LLama;
using LLama.Abstractions;
using LLama.Batched;
using LLama.Common;
using LLama.Extensions;
using LLama.Native;
using LLama.Sampling;
using Microsoft.Extensions.AI;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>
/// What a program does with LLamaSharp, told as text. Nothing in here knows which native library LLamaSharp runs on; the same text is
/// expected of both.
/// </summary>
internal sealed class Scenarios : IDisposable
{
    private const int Count = 16;

    private const string Prompt =
        "The harbour office opens early on the first warm days of spring. The night train rarely closes before the market on the square. "
        + "A careful gardener keeps a list of visitors for the harvest festival. The old lighthouse keeper tells stories about";

    private const string OtherPrompt = "The three colours of the rainbow that everybody knows are";

    private readonly ModelParams _parameters;
    private readonly LLamaWeights _weights;

    internal Scenarios(string modelPath, int threads)
    {
        _parameters = new ModelParams(modelPath)
        {
            ContextSize = 512,
            GpuLayerCount = 0,
            Threads = threads,
            BatchThreads = threads,
            // The CPU code of fused attention rounds otherwise from one llama.cpp to the next, the rest to the bit alike.
            FlashAttention = false,
        };
        _weights = LLamaWeights.LoadFromFile(_parameters);
    }

    internal static IReadOnlyDictionary<string, Func<Scenarios, Task<string>>> All { get; } =
        new Dictionary<string, Func<Scenarios, Task<string>>>
        {
            ["default parameters"] = _ => Task.FromResult(Defaults()),
            ["the model's metadata and vocabulary"] = scenarios => Task.FromResult(scenarios.Vocabulary()),
            ["a context as it was asked for"] = scenarios => Task.FromResult(scenarios.ContextSizes()),
            ["20 greedy tokens"] = scenarios =>
                scenarios.GreedyAsync(scenarios._parameters with { FlashAttention = null }, 20),
            ["50 greedy tokens"] = scenarios =>
                scenarios.GreedyAsync(scenarios._parameters with { FlashAttention = null }, 50),
            ["small batches"] = scenarios =>
                scenarios.GreedyAsync(scenarios._parameters with { BatchSize = 32, UBatchSize = 16 }, 20),
            ["another rope"] = scenarios =>
                scenarios.GreedyAsync(
                    scenarios._parameters with
                    {
                        RopeFrequencyBase = 50_000,
                        RopeFrequencyScale = 0.9f,
                        YarnScalingType = RopeScalingType.Linear,
                    },
                    20
                ),
            ["yarn"] = scenarios =>
                GreedyOnAnotherModelAsync(
                    scenarios._parameters with
                    {
                        RopeFrequencyScale = 0.5f,
                        YarnScalingType = RopeScalingType.Yarn,
                        YarnExtrapolationFactor = 0.8f,
                        YarnAttentionFactor = 1.1f,
                        YarnBetaFast = 24,
                        YarnBetaSlow = 2,
                        YarnOriginalContext = 256,
                    },
                    20
                ),
            ["fused attention"] = scenarios =>
                scenarios.GreedyAsync(scenarios._parameters with { FlashAttention = true }, 20),
            ["a quantised cache"] = scenarios =>
                scenarios.GreedyAsync(
                    scenarios._parameters with
                    {
                        FlashAttention = true,
                        TypeK = GGMLType.GGML_TYPE_Q8_0,
                        TypeV = GGMLType.GGML_TYPE_Q8_0,
                    },
                    20
                ),
            ["a model loaded with progress and changed metadata"] = scenarios => scenarios.LoadAsync(),
            [Interactive] = scenarios => scenarios.InteractiveAsync(),
            ["the instruct executor"] = scenarios => scenarios.InstructAsync(),
            ["the stateless executor"] = scenarios => scenarios.StatelessAsync(),
            ["a context that runs full"] = scenarios => scenarios.ShiftAsync(),
            ["a chat session"] = scenarios => scenarios.ChatSessionAsync(),
            ["the chat client"] = scenarios => scenarios.ChatClientAsync(),
            ["the batched executor"] = scenarios => scenarios.BatchedAsync(),
            ["a grammar"] = scenarios => scenarios.GrammarAsync(new GreedySamplingPipeline { Grammar = Colours }),
            ["a grammar with the default pipeline"] = scenarios =>
                scenarios.GrammarAsync(Seeded(temperature: 0, Colours)),
            ["seeded sampling"] = scenarios => scenarios.SampleAsync(Seeded(temperature: 0.8f)),
            ["penalties"] = scenarios => scenarios.ChainAsync(chain => chain.AddPenalties(64, 1.5f, 0.3f, 0.2f)),
            ["penalties that are none"] = scenarios =>
                scenarios.ChainAsync(chain => chain.AddPenalties(0, 1.5f, 0.3f, 0.2f)),
            ["cloned penalties"] = scenarios => scenarios.ClonedPenaltiesAsync(),
            ["DRY over the whole context"] = scenarios =>
                scenarios.ChainAsync(chain => chain.AddDry(scenarios._weights.NativeHandle, [], 5, 1.75f, 1, -1)),
            ["DRY over some tokens"] = scenarios =>
                scenarios.ChainAsync(chain => chain.AddDry(scenarios._weights.NativeHandle, [], 5, 1.75f, 1, 6)),
            ["other samplers"] = scenarios =>
                scenarios.ChainAsync(chain =>
                {
                    chain.AddLogitBias(scenarios._weights.Vocab.Count, [new LLamaLogitBias { Token = 260, Bias = -2 }]);
                    chain.AddTopK(40);
                    chain.AddTopP(0.95f, 1);
                    chain.AddMinP(0.05f, 1);
                    chain.AddTypical(0.9f, 1);
                    chain.AddXTC(0.5f, 0.1f, 1, 3);
                    chain.AddTemperature(0.8f);
                    chain.AddDistributionSampler(11);
                }),
            ["mirostat"] = scenarios => scenarios.ChainAsync(chain => chain.AddMirostat2Sampler(5, 5, 0.1f)),
            ["a custom sampler"] = scenarios => scenarios.CustomAsync(),
            ["a state in memory"] = scenarios => scenarios.StateAsync(),
            ["a state file"] = scenarios => scenarios.StateFileAsync(),
            ["the state of a sequence"] = scenarios => scenarios.SequenceStateAsync(),
            ["an executor's state"] = scenarios => scenarios.ExecutorStateAsync(),
            ["a quantised model"] = scenarios => Task.FromResult(scenarios.Quantise()),
            ["a quantised model with parameters of its own"] = scenarios =>
                Task.FromResult(scenarios.QuantiseNatively()),
        };

    internal const string Interactive = "the interactive executor";

    /// <summary>The mean embedding of a sentence. Its last bits depend on the CPU's code, so it is no scenario told as text.</summary>
    internal const string Embedding = "an embedding";

    internal async Task<float[]> EmbedAsync()
    {
        using LLamaEmbedder embedder = new(
            _weights,
            _parameters with
            {
                Embeddings = true,
                PoolingType = LLamaPoolingType.Mean,
                UBatchSize = 512,
            }
        );
        return (await embedder.GetEmbeddings("A harbour is where ships are safe.")).Single();
    }

    public void Dispose() => _weights.Dispose();

    private static Grammar Colours { get; } =
        new(
            """
            root   ::= " " colour ("," " " colour)* "."
            colour ::= "red" | "green" | "blue" | "yellow"
            """,
            "root"
        );

    private static string Defaults()
    {
        return string.Join(
            '\n',
            new object[]
            {
                LLamaModelParams.Default(),
                LLamaContextParams.Default(),
                LLamaModelQuantizeParams.Default(),
            }.SelectMany(parameters =>
                parameters
                    .GetType()
                    .GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
                    .Select(field => $"{parameters.GetType().Name}.{field.Name} = {Value(field.GetValue(parameters))}")
            )
        );

        static string Value(object? value) =>
            value switch
            {
                null => "null",
                Pointer pointer => IsNull(pointer) ? "null" : "a pointer",
                IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
                _ => value.ToString()!,
            };
    }

    private static unsafe bool IsNull(Pointer pointer) => Pointer.Unbox(pointer) == null;

    private string Vocabulary()
    {
        SafeLlamaModelHandle.Vocabulary vocabulary = _weights.Vocab;
        return string.Join(
            '\n',
            [
                $"{_weights.ParameterCount} {_weights.SizeInBytes} {_weights.ContextSize} {_weights.EmbeddingSize}",
                $"{_weights.NativeHandle.LayerCount} {_weights.NativeHandle.HeadCount} {_weights.NativeHandle.KVHeadCount}",
                $"{vocabulary.Count} {vocabulary.Type} {vocabulary.BOS} {vocabulary.EOS} {vocabulary.EOT} {vocabulary.Newline}",
                .. _weights
                    .Metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal)
                    .Select(pair => $"{pair.Key} = {pair.Value}"),
                string.Join(' ', _weights.Tokenize(Prompt, true, true, Encoding.UTF8)),
                Chat("system", "Be brief.", "user", "What is a harbour?"),
            ]
        );
    }

    private string Chat(params string[] rolesAndTexts)
    {
        LLamaTemplate template = new(_weights) { AddAssistant = true };
        for (int i = 0; i < rolesAndTexts.Length; i += 2)
        {
            template.Add(rolesAndTexts[i], rolesAndTexts[i + 1]);
        }
        return Encoding.UTF8.GetString(template.Apply());
    }

    private string ContextSizes()
    {
        using LLamaContext context = _weights.CreateContext(
            _parameters with
            {
                ContextSize = 768,
                BatchSize = 96,
                UBatchSize = 48,
                SeqMax = 3,
                Threads = 3,
                BatchThreads = 2,
                PoolingType = LLamaPoolingType.Last,
                KVUnified = false,
            }
        );
        SafeLLamaContextHandle handle = context.NativeHandle;
        return $"{handle.ContextSize} {handle.BatchSize} {handle.UBatchSize} {handle.MaxSeq} {handle.GenerationThreads} {handle.BatchThreads} {handle.PoolingType} {handle.RecurrentRollbackSnapshots}";
    }

    private Task<string> GreedyAsync(ModelParams parameters, int count)
    {
        LLamaContext context = _weights.CreateContext(parameters);
        return ContinueAsync(context, new GreedySamplingPipeline(), Prompt, count);
    }

    // llama.cpp writes the length that YaRN was asked for into the model, for all contexts that come later
    private static async Task<string> GreedyOnAnotherModelAsync(ModelParams parameters, int count)
    {
        using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
        return await ContinueAsync(weights.CreateContext(parameters), new GreedySamplingPipeline(), Prompt, count);
    }

    /// <summary>Tokens that follow a prompt, by their numbers. Disposes what it is given.</summary>
    private static async Task<string> ContinueAsync(
        LLamaContext context,
        ISamplingPipeline sampling,
        string prompt,
        int count
    )
    {
        using LLamaContext usedContext = context;
        using ISamplingPipeline usedSampling = sampling;
        return await ContinueAsync(context, sampling, [.. context.Tokenize(prompt)], 0, count);
    }

    private static async Task<string> ContinueAsync(
        LLamaContext context,
        ISamplingPipeline sampling,
        List<LLamaToken> next,
        int past,
        int count
    )
    {
        LLamaBatch batch = new();
        List<int> tokens = [];
        while (tokens.Count < count)
        {
            (DecodeResult result, _, past) = await context.DecodeAsync(next, LLamaSeqId.Zero, batch, past);
            if (result != DecodeResult.Ok)
            {
                throw new InvalidOperationException($"Decoding ended with {result}.");
            }
            LLamaToken token = sampling.Sample(context.NativeHandle, batch.TokenCount - 1);
            tokens.Add((int)token);
            next = [token];
        }
        return string.Join(' ', tokens);
    }

    private async Task<string> LoadAsync()
    {
        Progress progress = new();
        using LLamaWeights weights = await LLamaWeights.LoadFromFileAsync(
            _parameters with
            {
                LoadMode = LLamaLoadMode.None,
                MetadataOverrides =
                [
                    new MetadataOverride("llama.rope.freq_base", 30_000f),
                    new MetadataOverride("tokenizer.ggml.add_bos_token", true),
                ],
            },
            CancellationToken.None,
            progress
        );
        string tokens = await ContinueAsync(
            weights.CreateContext(_parameters),
            new GreedySamplingPipeline(),
            Prompt,
            Count
        );
        using LLamaWeights vocabulary = LLamaWeights.LoadFromFile(_parameters with { VocabOnly = true });
        return $"{progress.Last} {tokens} {vocabulary.Vocab.Count} {vocabulary.ParameterCount}";
    }

    private static InferenceParams Greedy(int count = Count) =>
        new() { MaxTokens = count, SamplingPipeline = new GreedySamplingPipeline() };

    private static async Task<string> TextAsync(IAsyncEnumerable<string> pieces)
    {
        StringBuilder text = new();
        await foreach (string piece in pieces)
        {
            text.Append(piece);
        }
        return text.ToString();
    }

    /// <summary>Two turns.</summary>
    /// <param name="prefill">What is done before the first turn, with its prompt.</param>
    internal async Task<string> InteractiveAsync(Func<InteractiveExecutor, string, Task>? prefill = null)
    {
        using LLamaContext context = _weights.CreateContext(_parameters);
        InteractiveExecutor executor = new(context);
        if (prefill is not null)
        {
            await prefill(executor, Prompt);
        }
        string first = await TextAsync(executor.InferAsync(Prompt, Greedy()));
        string second = await TextAsync(executor.InferAsync("And then?", Greedy()));
        return $"{first}|{second}";
    }

    private async Task<string> InstructAsync()
    {
        using LLamaContext context = _weights.CreateContext(_parameters);
        InstructExecutor executor = new(context);
        string first = await TextAsync(executor.InferAsync("Name a fruit.", Greedy()));
        string second = await TextAsync(executor.InferAsync("Name another one.", Greedy()));
        return $"{first}|{second}";
    }

    private async Task<string> StatelessAsync()
    {
        StatelessExecutor executor = new(_weights, _parameters) { ApplyTemplate = true, SystemMessage = "Be brief." };
        string first = await TextAsync(executor.InferAsync("What is a harbour?", Greedy()));
        string second = await TextAsync(executor.InferAsync("What is a harbour?", Greedy()));
        return $"{first}|{second}";
    }

    private async Task<string> ShiftAsync()
    {
        using LLamaContext context = _weights.CreateContext(_parameters with { ContextSize = 96 });
        InteractiveExecutor executor = new(context);
        return await TextAsync(executor.InferAsync(OtherPrompt, Greedy(120) with { TokensKeep = 4 }));
    }

    private async Task<string> ChatSessionAsync()
    {
        string folder = Directory.CreateTempSubdirectory("foretoken-llamasharp-").FullName;
        try
        {
            string first;
            using (LLamaContext context = _weights.CreateContext(_parameters))
            {
                ChatSession session = new(new InteractiveExecutor(context));
                session.AddSystemMessage("You are a friendly sailor.");
                first = await TextAsync(
                    session.ChatAsync(new ChatHistory.Message(AuthorRole.User, "What is a harbour?"), Greedy())
                );
                session.SaveSession(folder);
            }
            using LLamaContext again = _weights.CreateContext(_parameters);
            ChatSession restored = new(new InteractiveExecutor(again));
            restored.LoadSession(folder);
            string second = await TextAsync(
                restored.ChatAsync(new ChatHistory.Message(AuthorRole.User, "And a lighthouse?"), Greedy())
            );
            return $"{first}|{second}|{restored.History.Messages.Count}";
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task<string> ChatClientAsync()
    {
        using LLamaContext context = _weights.CreateContext(_parameters);
        using IChatClient client = new InteractiveExecutor(context).AsChatClient();
        ChatOptions options = new() { MaxOutputTokens = Count, RawRepresentationFactory = _ => Greedy() };
        ChatResponse whole = await client.GetResponseAsync(
            [new ChatMessage(ChatRole.User, "What is a harbour?")],
            options
        );
        StringBuilder streamed = new();
        await foreach (
            ChatResponseUpdate update in client.GetStreamingResponseAsync(
                [
                    new ChatMessage(ChatRole.User, "What is a harbour?"),
                    .. whole.Messages,
                    new ChatMessage(ChatRole.User, "And a lighthouse?"),
                ],
                options
            )
        )
        {
            streamed.Append(update.Text);
        }
        return $"{whole.Text}|{streamed}";
    }

    private async Task<string> BatchedAsync()
    {
        using BatchedExecutor executor = new(_weights, _parameters with { SeqMax = 4 });
        using Conversation first = executor.Create();
        first.Prompt(executor.Context.Tokenize(Prompt));
        using Conversation other = executor.Create();
        other.Prompt(executor.Context.Tokenize(OtherPrompt));
        while (executor.BatchQueueCount > 0)
        {
            await executor.Infer();
        }
        using Conversation fork = first.Fork();
        using GreedySamplingPipeline sampling = new();
        Conversation[] all = [first, other, fork];
        List<int>[] tokens =
        [
            [],
            [],
            [],
        ];
        for (int i = 0; i < Count; i++)
        {
            for (int c = 0; c < all.Length; c++)
            {
                LLamaToken token = all[c].Sample(sampling);
                // the fork goes another way
                if (c == 2 && i == 0)
                {
                    token = executor.Context.Tokenize(" nothing", addBos: false)[0];
                }
                tokens[c].Add((int)token);
                all[c].Prompt(token);
            }
            await executor.Infer();
        }
        using Conversation.State state = other.Save();
        using Conversation loaded = executor.Load(state);
        return string.Join('|', tokens.Select(list => string.Join(' ', list)).Append($"{loaded.TokenCount}"));
    }

    private async Task<string> GrammarAsync(ISamplingPipeline sampling)
    {
        using LLamaContext context = _weights.CreateContext(_parameters);
        return await TextAsync(
            new InteractiveExecutor(context).InferAsync(
                OtherPrompt,
                new InferenceParams { MaxTokens = Count, SamplingPipeline = sampling }
            )
        );
    }

    // Many candidates: where one is left, the pinned llama.cpp draws a random number all the same, and LLamaSharp's own does not.
    private static DefaultSamplingPipeline Seeded(float temperature, Grammar? grammar = null) =>
        new()
        {
            Seed = 42,
            Temperature = temperature,
            Grammar = grammar,
            TopP = 1,
            MinP = 0,
            RepeatPenalty = 1.3f,
            FrequencyPenalty = 0.2f,
            PresencePenalty = 0.1f,
        };

    private Task<string> SampleAsync(ISamplingPipeline sampling) =>
        ContinueAsync(_weights.CreateContext(_parameters), sampling, Prompt, 40);

    private async Task<string> ChainAsync(Action<SafeLLamaSamplerChainHandle> add)
    {
        List<string> names = [];
        string tokens = await ContinueAsync(
            _weights.CreateContext(_parameters),
            new Pipeline(chain =>
            {
                add(chain);
                chain.AddGreedySampler();
                names.AddRange(Enumerable.Range(0, chain.Count).Select(chain.GetName));
            }),
            "one two three one two three one two three one two",
            40
        );
        return $"{string.Join(',', names)} {tokens}";
    }

    private Task<string> ClonedPenaltiesAsync() =>
        ChainAsync(chain =>
        {
            using SafeLLamaSamplerChainHandle other = SafeLLamaSamplerChainHandle.Create(
                LLamaSamplerChainParams.Default()
            );
            // Nothing is accepted in front of the clone: LLamaSharp's own llama.cpp forgets to clone the counts.
            other.AddPenalties(64, 1.5f, 0.3f, 0.2f);
            chain.AddClone(other, 0);
        });

    private async Task<string> CustomAsync()
    {
        Calls calls = new();
        string tokens = await ChainAsync(chain =>
        {
            using SafeLLamaSamplerChainHandle other = SafeLLamaSamplerChainHandle.Create(
                LLamaSamplerChainParams.Default()
            );
            other.AddCustom(new OddTokens(calls));
            chain.AddCustom(new OddTokens(calls));
            chain.AddClone(other, 0);
            chain.Reset();
        });
        return $"{tokens} {calls}";
    }

    private async Task<string> StateAsync()
    {
        using LLamaContext context = _weights.CreateContext(_parameters);
        List<LLamaToken> prompt = [.. context.Tokenize(Prompt)];
        await context.DecodeAsync(prompt[..^1], LLamaSeqId.Zero, new LLamaBatch(), 0);
        using LLamaContext.State state = context.GetState();
        using MemoryStream stream = new();
        await state.SaveAsync(stream);
        stream.Position = 0;

        using LLamaContext other = _weights.CreateContext(_parameters);
        using LLamaContext.State loaded = await LLamaContext.State.LoadAsync(stream);
        other.LoadState(loaded);
        int last = (int)other.NativeHandle.MemorySequenceMaxPosition(LLamaSeqId.Zero);
        using GreedySamplingPipeline sampling = new();
        return $"{Convert.ToHexString(SHA256.HashData(stream.ToArray()))} {last} {await ContinueAsync(other, sampling, prompt[^1..], prompt.Count - 1, Count)}";
    }

    private async Task<string> StateFileAsync()
    {
        string file = Path.GetTempFileName();
        try
        {
            List<LLamaToken> prompt;
            using (LLamaContext context = _weights.CreateContext(_parameters))
            {
                prompt = [.. context.Tokenize(Prompt)];
                await context.DecodeAsync(prompt[..^1], LLamaSeqId.Zero, new LLamaBatch(), 0);
                NativeApi.llama_state_save_file(context.NativeHandle, file, [.. prompt], (ulong)prompt.Count);
            }
            using LLamaContext other = _weights.CreateContext(_parameters);
            LLamaToken[] tokens = new LLamaToken[prompt.Count];
            bool loaded = NativeApi.llama_state_load_file(
                other.NativeHandle,
                file,
                tokens,
                (ulong)tokens.Length,
                out ulong count
            );
            using GreedySamplingPipeline sampling = new();
            return $"{loaded} {count} {await ContinueAsync(other, sampling, prompt[^1..], prompt.Count - 1, Count)}";
        }
        finally
        {
            File.Delete(file);
        }
    }

    private async Task<string> SequenceStateAsync()
    {
        using LLamaContext context = _weights.CreateContext(_parameters with { SeqMax = 2 });
        List<LLamaToken> prompt = [.. context.Tokenize(Prompt)];
        LLamaSeqId one = (LLamaSeqId)1;
        await context.DecodeAsync(prompt[..^1], one, new LLamaBatch(), 0);
        using LLamaContext.SequenceState state = context.GetState(one);
        context.NativeHandle.MemoryClear();
        context.LoadState(state, LLamaSeqId.Zero);
        (int one, int zero) last = (
            (int)context.NativeHandle.MemorySequenceMaxPosition(one),
            (int)context.NativeHandle.MemorySequenceMaxPosition(LLamaSeqId.Zero)
        );
        using GreedySamplingPipeline sampling = new();
        return $"{last} {await ContinueAsync(context, sampling, prompt[^1..], prompt.Count - 1, Count)}";
    }

    private async Task<string> ExecutorStateAsync()
    {
        string folder = Directory.CreateTempSubdirectory("foretoken-llamasharp-").FullName;
        try
        {
            string first;
            using (LLamaContext context = _weights.CreateContext(_parameters))
            {
                InteractiveExecutor executor = new(context);
                first = await TextAsync(executor.InferAsync(Prompt, Greedy()));
                await executor.SaveState(Path.Combine(folder, "executor"));
                context.SaveState(Path.Combine(folder, "context"));
            }
            using LLamaContext other = _weights.CreateContext(_parameters);
            InteractiveExecutor restored = new(other);
            other.LoadState(Path.Combine(folder, "context"));
            await restored.LoadState(Path.Combine(folder, "executor"));
            return $"{first}|{await TextAsync(restored.InferAsync("And then?", Greedy()))}";
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private string Quantise() =>
        InFile(file => LLamaQuantizer.Quantize(_parameters.ModelPath, file, LLamaFtype.MOSTLY_Q4_0, nthread: 2));

    private string QuantiseNatively() =>
        InFile(file =>
        {
            LLamaModelQuantizeParams parameters = LLamaModelQuantizeParams.Default();
            parameters.ftype = LLamaFtype.MOSTLY_Q5_0;
            parameters.token_embedding_type = GGMLType.GGML_TYPE_Q8_0;
            parameters.nthread = 2;
            parameters.allow_requantize = true;
            parameters.pure = true;
            return NativeApi.llama_model_quantize(_parameters.ModelPath, file, ref parameters) == 0;
        });

    private static string InFile(Func<string, bool> write)
    {
        string file = Path.GetTempFileName();
        try
        {
            bool succeeded = write(file);
            using FileStream stream = File.OpenRead(file);
            return $"{succeeded} {stream.Length} {Convert.ToHexString(SHA256.HashData(stream))}";
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>A chain of samplers as a pipeline.</summary>
    private sealed class Pipeline(Action<SafeLLamaSamplerChainHandle> add) : BaseSamplingPipeline
    {
        protected override SafeLLamaSamplerChainHandle CreateChain(SafeLLamaContextHandle context)
        {
            SafeLLamaSamplerChainHandle chain = SafeLLamaSamplerChainHandle.Create(LLamaSamplerChainParams.Default());
            add(chain);
            return chain;
        }
    }

    private sealed record Calls
    {
        public int Applied { get; set; }
        public int Accepted { get; set; }
        public int Reset { get; set; }
        public int Cloned { get; set; }
        public int Disposed { get; set; }
    }

    /// <summary>A sampler in managed code: tokens with an even number are out of the question.</summary>
    private sealed class OddTokens(Calls calls) : ICustomSampler
    {
        public string Name => "odd tokens";

        public void Apply(ref LLamaTokenDataArrayNative tokenData)
        {
            calls.Applied++;
            foreach (ref LLamaTokenData token in tokenData.Data)
            {
                if ((int)token.ID % 2 == 0)
                {
                    token.Logit = float.NegativeInfinity;
                }
            }
            tokenData.Sorted = false;
        }

        public void Accept(LLamaToken token) => calls.Accepted++;

        public void Reset() => calls.Reset++;

        public ICustomSampler Clone()
        {
            calls.Cloned++;
            return new OddTokens(calls);
        }

        public void Dispose() => calls.Disposed++;
    }

    /// <summary>The last share of loading; on the loading thread, unlike <see cref="Progress{T}"/>.</summary>
    private sealed class Progress : IProgress<float>
    {
        public float Last { get; private set; }

        public void Report(float value) => Last = value;
    }
}
