using Microsoft.Extensions.AI;

namespace Foretoken.SemanticKernel.Tests;

/// <summary>A chat client that says what a test wants, and remembers what it was asked.</summary>
internal sealed class ScriptedChatClient(params AIContent[] answers) : IChatClient
{
    private readonly Queue<AIContent> _answers = new(answers);

    internal List<IReadOnlyList<ChatMessage>> Requests { get; } = [];

    internal List<ChatOptions?> Options { get; } = [];

    internal static DateTimeOffset CreatedAt { get; } = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    internal bool IsDisposed { get; private set; }

    public Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    ) => GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken);

    public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        Requests.Add([.. messages]);
        Options.Add(options?.Clone());
        await Task.Yield();
        cancellationToken.ThrowIfCancellationRequested();
        string id = $"response-{Requests.Count}";
        AIContent answer = _answers.Dequeue();
        yield return new ChatResponseUpdate(ChatRole.Assistant, [answer])
        {
            ResponseId = id,
            MessageId = id,
            ModelId = "scripted-model",
            CreatedAt = CreatedAt,
            FinishReason = answer is FunctionCallContent ? ChatFinishReason.ToolCalls : ChatFinishReason.Stop,
        };
    }

    public object? GetService(Type serviceType, object? serviceKey = null) =>
        serviceType == typeof(ChatClientMetadata) ? new ChatClientMetadata("scripted")
        : serviceType.IsInstanceOfType(this) ? this
        : null;

    public void Dispose() => IsDisposed = true;
}
