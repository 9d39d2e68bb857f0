using Foretoken.Errors;
using Microsoft.Extensions.AI;

namespace Foretoken;

/// <summary>
/// Counts the tokens of prompts without a request, as the model's chat template and tokenizer make them. A client offers it once its
/// model is loaded: <c>client.GetService&lt;PromptCounter&gt;()</c>.
/// </summary>
/// <remarks>Thread-safe; it counts on the caller's thread and waits for no request. Valid as long as the client.</remarks>
public sealed class PromptCounter
{
    private readonly ForetokenChatClient _client;

    internal PromptCounter(ForetokenChatClient client)
    {
        _client = client;
    }

    /// <summary>Tokens that the context of a slot holds, prompt and answer together.</summary>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    /// <exception cref="InvalidOperationException">The model was lost with a server.</exception>
    public int ContextSize => _client.LoadedContextSize;

    /// <summary>Tokens of a text alone, control tokens spelled out as text.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    /// <exception cref="InvalidOperationException">The model was lost with a server.</exception>
    public int CountTokens(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return _client.LoadedModel.Tokenize(text).Length;
    }

    /// <summary>Tokens of the whole prompt of a request: messages, instructions, functions, and what the template adds.</summary>
    /// <param name="messages">The messages.</param>
    /// <param name="options">The options of the request. Default null: none.</param>
    /// <exception cref="ArgumentException">A message or option is malformed or out of range.</exception>
    /// <exception cref="ChatTemplateException">The template rejects the conversation.</exception>
    /// <exception cref="NotSupportedException">The request asks for something that a request would be refused for.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    /// <exception cref="InvalidOperationException">The model was lost with a server.</exception>
    public int CountTokens(IEnumerable<ChatMessage> messages, ChatOptions? options = null) =>
        _client.CountPrompt(messages, options);
}
