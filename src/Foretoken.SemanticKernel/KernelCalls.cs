using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace Foretoken.SemanticKernel;

/// <summary>
/// Hands texts among the arguments of a call over as strings, as Semantic Kernel's own connectors do: a kernel function converts a
/// string to what its parameter is, such as a member of an enumeration, and fails on the same text as a JSON element.
/// </summary>
internal sealed class KernelCalls(IChatClient inner) : DelegatingChatClient(inner)
{
    public override async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ChatResponse response = await base.GetResponseAsync(messages, options, cancellationToken).ConfigureAwait(false);
        if (!response.Messages.Any(message => message.Contents.Any(HasTexts)))
        {
            return response;
        }
        // copies: the answer may be one that a cache keeps
        return new ChatResponse([.. response.Messages.Select(Convert)])
        {
            AdditionalProperties = response.AdditionalProperties,
            ConversationId = response.ConversationId,
            CreatedAt = response.CreatedAt,
            FinishReason = response.FinishReason,
            ModelId = response.ModelId,
            RawRepresentation = response.RawRepresentation,
            ResponseId = response.ResponseId,
            Usage = response.Usage,
        };
    }

    public override async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        await foreach (
            ChatResponseUpdate update in base.GetStreamingResponseAsync(messages, options, cancellationToken)
                .ConfigureAwait(false)
        )
        {
            if (!update.Contents.Any(HasTexts))
            {
                yield return update;
                continue;
            }
            ChatResponseUpdate converted = update.Clone();
            converted.Contents = [.. update.Contents.Select(Convert)];
            yield return converted;
        }
    }

    private static bool HasTexts(AIContent content) =>
        content is FunctionCallContent { Arguments: { } arguments } && arguments.Values.Any(IsText);

    private static bool IsText(object? argument) => argument is JsonElement { ValueKind: JsonValueKind.String };

    private static ChatMessage Convert(ChatMessage message)
    {
        ChatMessage converted = message.Clone();
        converted.Contents = [.. message.Contents.Select(Convert)];
        return converted;
    }

    private static AIContent Convert(AIContent content) =>
        content is FunctionCallContent call && HasTexts(call)
            ? new FunctionCallContent(
                call.CallId,
                call.Name,
                call.Arguments!.ToDictionary(
                    argument => argument.Key,
                    argument => IsText(argument.Value) ? ((JsonElement)argument.Value!).GetString() : argument.Value
                )
            )
            {
                AdditionalProperties = call.AdditionalProperties,
                Annotations = call.Annotations,
                Exception = call.Exception,
                InformationalOnly = call.InformationalOnly,
                RawRepresentation = call.RawRepresentation,
            }
            : content;
}
