using System.Runtime.CompilerServices;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Cli.Tests.Chat;

/// <summary>A chat client that says what a test wants, and remembers what it was asked.</summary>
internal sealed class ScriptedChatClient : IChatClient
{
    private readonly Queue<Func<CancellationToken, IAsyncEnumerable<ChatResponseUpdate>>> _answers = [];

    internal List<IReadOnlyList<ChatMessage>> Requests { get; } = [];

    internal List<ChatOptions> Options { get; } = [];

    internal bool IsDisposed { get; private set; }

    /// <summary>The next answer: its pieces, then counts and the report.</summary>
    internal ScriptedChatClient Says(PrefillReport? report, params string[] pieces)
    {
        _answers.Enqueue(_ => Complete(report, pieces));
        return this;
    }

    /// <summary>The next request fails.</summary>
    internal ScriptedChatClient Fails(Exception exception)
    {
        _answers.Enqueue(_ => Throw(exception));
        return this;
    }

    /// <summary>The next answer begins and then waits until it is cancelled; <paramref name="waiting"/> is called there.</summary>
    internal ScriptedChatClient Hangs(string beginning, Action waiting)
    {
        _answers.Enqueue(token => Hang(beginning, waiting, token));
        return this;
    }

    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        Requests.Add([.. messages]);
        Options.Add(options!);
        return _answers.Dequeue()(cancellationToken);
    }

    public Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    ) => throw new NotSupportedException("The sample streams.");

    public object? GetService(Type serviceType, object? serviceKey = null) => null;

    public void Dispose() => IsDisposed = true;

    private static async IAsyncEnumerable<ChatResponseUpdate> Complete(PrefillReport? report, string[] pieces)
    {
        foreach (string piece in pieces)
        {
            await Task.Yield();
            yield return new ChatResponseUpdate(ChatRole.Assistant, piece);
        }
        yield return new ChatResponseUpdate
        {
            Role = ChatRole.Assistant,
            FinishReason = ChatFinishReason.Stop,
            Contents = [new UsageContent(new UsageDetails { OutputTokenCount = pieces.Length })],
            // as ForetokenChatClient hands out its report
            RawRepresentation = report,
        };
    }

    private static async IAsyncEnumerable<ChatResponseUpdate> Throw(Exception exception)
    {
        await Task.Yield();
        yield return exception is null ? new ChatResponseUpdate() : throw exception;
    }

    private static async IAsyncEnumerable<ChatResponseUpdate> Hang(
        string beginning,
        Action waiting,
        [EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        if (beginning.Length > 0)
        {
            yield return new ChatResponseUpdate(ChatRole.Assistant, beginning);
        }
        waiting();
        await Task.Delay(Timeout.Infinite, cancellationToken);
    }
}
