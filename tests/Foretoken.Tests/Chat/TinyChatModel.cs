using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;

namespace Foretoken.Tests.Chat;

/// <summary>
/// A random model that answers quickly, and yet is large enough for a plan to pay. What it says makes no sense, but depends on every token of the prompt, so
/// that equal answers mean equal computations.
/// </summary>
public sealed class TinyChatModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TinyChatModel()
    {
        // the output matrix is not the embedding: otherwise a random model repeats its last token
        SyntheticModel.Write(
            Path,
            SyntheticModelSpec.Parse("layers=8,embd=192,heads=4,kv-heads=2,ffn=384,vocab=320,tied=false,type=f32")
        );
        // the same plans whatever ran before
        Model = ForetokenModel.Load(Path, new ModelOptions { UseMeasuredCosts = false });
    }

    public string Path => _folder["tiny-chat.gguf"];

    public ForetokenModel Model { get; }

    public ForetokenChatClient CreateClient(Action<ForetokenChatClientOptions>? configure = null)
    {
        ForetokenChatClientOptions options = new()
        {
            ContextSize = 2048,
            MaxOutputTokens = 16,
            UBatchSize = 128,
            Threads = 1,
        };
        configure?.Invoke(options);
        return new ForetokenChatClient(Model, options);
    }

    public void Dispose()
    {
        Model.Dispose();
        _folder.Dispose();
    }
}

/// <summary>Tests that share the tiny random model.</summary>
[CollectionDefinition(nameof(TinyChatModel))]
public sealed class TinyChatModelDefinition : ICollectionFixture<TinyChatModel>;
