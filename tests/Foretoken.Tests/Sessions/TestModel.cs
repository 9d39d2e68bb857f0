using System.Text;
using Foretoken.Sessions;

namespace Foretoken.Tests.Sessions;

/// <summary>The real model that the tests run on, loaded once for all of them.</summary>
public sealed class TestModel : IDisposable
{
    public const string Variable = "FORETOKEN_TEST_MODEL";

    /// <summary>Threads to compute with; on a machine that is busy with other things, one is faster than two that wait for each other.</summary>
    public const string ThreadsVariable = "FORETOKEN_TEST_THREADS";

    public static readonly int Threads = int.TryParse(
        Environment.GetEnvironmentVariable(ThreadsVariable),
        System.Globalization.CultureInfo.InvariantCulture,
        out int threads
    )
        ? threads
        : 0;

    public TestModel()
    {
        Path = FindPath();
        // the same plans whatever ran before
        Model = ForetokenModel.Load(Path, new ModelOptions { UseMeasuredCosts = false });
    }

    public string Path { get; }

    public ForetokenModel Model { get; }

    /// <summary>Root of the source tree.</summary>
    public static string Root
    {
        get
        {
            for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(System.IO.Path.Combine(folder.FullName, "Plugin.sln")))
                {
                    return folder.FullName;
                }
            }
            throw new DirectoryNotFoundException("The tests run from inside the source tree, which Plugin.sln marks.");
        }
    }

    public ForetokenSession CreateSession(int contextSize = 1024, bool? staged = null) =>
        Model.CreateSession(
            new SessionOptions
            {
                ContextSize = contextSize,
                // several chunks also of short prompts
                UBatchSize = 128,
                Threads = Threads,
                Staged = staged,
            }
        );

    public ForetokenChatClient CreateClient(Action<ForetokenChatClientOptions>? configure = null)
    {
        ForetokenChatClientOptions options = new()
        {
            ContextSize = 2048,
            MaxOutputTokens = 32,
            Threads = Threads,
        };
        configure?.Invoke(options);
        return new ForetokenChatClient(Model, options);
    }

    /// <summary>Continues a sequence greedily.</summary>
    public List<int> Greedy(ForetokenSession session, int count)
    {
        using Sampler sampler = Model.CreateSampler();
        List<int> tokens = [];
        while (tokens.Count < count)
        {
            int token = session.Sample(sampler);
            tokens.Add(token);
            session.Decode(token);
        }
        return tokens;
    }

    /// <summary>The tokens of a text about nothing in particular, at least <paramref name="count"/> cut to that number.</summary>
    public int[] Prompt(int count, int seed = 1)
    {
        int[] tokens = Model.Tokenize(Documents.Filler(seed, count), addSpecial: true);
        Assert.True(tokens.Length >= count);
        return tokens[..count];
    }

    public void Dispose() => Model.Dispose();

    internal static string FindPath()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } chosen)
        {
            return chosen;
        }
        string folder = System.IO.Path.Combine(Root, "samples", "models");
        return Directory.EnumerateFiles(folder, "*-00001-of-*.gguf").Order(StringComparer.Ordinal).FirstOrDefault()
            ?? throw new FileNotFoundException(
                $"There is no '*-00001-of-*.gguf' in '{folder}', and {Variable} names no other model."
            );
    }
}

/// <summary>Tests that share the loaded model; they run one after the other, because each of them uses all cores.</summary>
[CollectionDefinition(nameof(TestModel))]
public sealed class TestModelDefinition : ICollectionFixture<TestModel>;

/// <summary>Documents made up for the tests.</summary>
internal static class Documents
{
    private static readonly string[] Subjects =
    [
        "The harbour office",
        "A careful gardener",
        "The night train",
        "Our village school",
        "The old lighthouse keeper",
        "A travelling musician",
        "The bakery on the corner",
        "The river ferry",
        "A retired carpenter",
        "The mountain hut",
    ];

    private static readonly string[] Verbs =
    [
        "opens early on",
        "rarely closes before",
        "keeps a list of visitors for",
        "prepares for",
        "tells stories about",
        "repairs the roof in",
        "paints the fence during",
        "waits patiently for",
        "writes letters about",
        "remembers",
    ];

    private static readonly string[] Objects =
    [
        "the first warm days of spring.",
        "the market on the square.",
        "the long winter evenings.",
        "the harvest festival.",
        "the quiet weeks of autumn.",
        "the return of the fishing boats.",
        "the summer holidays.",
        "the annual meeting.",
        "the morning fog.",
        "the great storm of last year.",
    ];

    /// <summary>At least <paramref name="words"/> words of sentences in a random order.</summary>
    internal static string Filler(int seed, int words)
    {
        Random random = new(seed);
        StringBuilder text = new();
        for (int count = 0; count < words; count += 8)
        {
            text.Append(Subjects[random.Next(10)])
                .Append(' ')
                .Append(Verbs[random.Next(10)])
                .Append(' ')
                .Append(Objects[random.Next(10)])
                .Append(' ');
        }
        return text.ToString();
    }

    /// <summary>A document of about <paramref name="tokens"/> tokens with one sentence that says something.</summary>
    internal static string WithFact(int seed, int tokens, string fact, ForetokenModel model)
    {
        string[] sentences = Filler(seed, tokens).Split(". ", StringSplitOptions.RemoveEmptyEntries);
        int place = new Random(seed).Next(sentences.Length / 10, sentences.Length / 2);
        StringBuilder text = new();
        int length = 0;
        for (int i = 0; i < sentences.Length && length < tokens; i++)
        {
            string sentence = i == place ? $"{fact} " : $"{sentences[i]}. ";
            text.Append(sentence);
            length += model.Tokenize(sentence).Length;
        }
        return text.ToString();
    }
}
