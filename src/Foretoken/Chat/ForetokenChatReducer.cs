using Foretoken.Errors;
using Microsoft.Extensions.AI;

namespace Foretoken;

/// <summary>Keeps a conversation within the context of a model: what was said first is left out first.</summary>
/// <remarks>
/// <para>
/// System messages stay, and so does the last message of the user with everything behind it. The rest leaves in whole turns, each a
/// message of the user with the answers and function calls that follow it, until the prompt and an answer fit. It then leaves a
/// quarter of the context free, so that the next requests find the same beginning of the conversation in the KV cache again. A
/// conversation that fits is passed on as it is.
/// </para>
/// <para>Thread-safe. Loads the model when it is not loaded yet.</para>
/// </remarks>
public sealed class ForetokenChatReducer : IChatReducer
{
    private readonly ForetokenChatClient _client;
    private readonly int _reservedTokens;

    /// <summary>Makes a reducer.</summary>
    /// <param name="client">A Foretoken client, or a pipeline around one; stays the caller's to dispose.</param>
    /// <param name="reservedTokens">
    /// Tokens to keep free for the answer, and for what a request adds to the messages, such as instructions and functions.
    /// </param>
    /// <exception cref="ArgumentException">There is no <see cref="ForetokenChatClient"/> in the pipeline.</exception>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public ForetokenChatReducer(IChatClient client, int reservedTokens)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(reservedTokens);
        _client =
            client.GetService<ForetokenChatClient>()
            ?? throw new ArgumentException("There is no ForetokenChatClient in this pipeline.", nameof(client));
        _reservedTokens = reservedTokens;
    }

    /// <inheritdoc/>
    /// <exception cref="ContextFullException">The last turn alone does not fit.</exception>
    public async Task<IEnumerable<ChatMessage>> ReduceAsync(
        IEnumerable<ChatMessage> messages,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(messages);
        await _client.LoadAsync(cancellationToken: cancellationToken).ConfigureAwait(false);
        List<ChatMessage> kept = [.. messages];
        int size = _client.LoadedContextSize;
        int limit = size - _reservedTokens;
        if (kept.Count == 0 || Count() <= limit)
        {
            return kept;
        }
        limit = Math.Min(limit, size - size / 4);
        while (Count() > limit && RemoveFirstTurn(kept)) { }
        return Count() <= size - _reservedTokens
            ? kept
            : throw new ContextFullException(Count() + _reservedTokens, size);

        int Count()
        {
            cancellationToken.ThrowIfCancellationRequested();
            return _client.CountPrompt(kept, options: null);
        }
    }

    private static bool RemoveFirstTurn(List<ChatMessage> messages)
    {
        int last = messages.FindLastIndex(message => message.Role == ChatRole.User);
        int begin = messages.FindIndex(message => message.Role != ChatRole.System);
        if (begin < 0 || begin >= last)
        {
            return false;
        }
        int end = messages.FindIndex(begin + 1, message => message.Role == ChatRole.User);
        for (int i = end - 1; i >= begin; i--)
        {
            if (messages[i].Role != ChatRole.System)
            {
                messages.RemoveAt(i);
            }
        }
        return true;
    }
}
