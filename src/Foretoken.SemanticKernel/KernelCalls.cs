using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using FunctionCallContent = Microsoft.Extensions.AI.FunctionCallContent;

namespace Foretoken.SemanticKernel;

/// <summary>
/// Hands texts among the arguments of a call over as strings, as Semantic Kernel's own connectors do: a kernel function converts a
/// string to what its parameter is, such as a member of an enumeration, and fails on the same text as a JSON element. Calls of the
/// history, of which Semantic Kernel leaves out the plugin, get the names under which the model knows the functions.
/// </summary>
internal sealed class KernelCalls(IChatClient inner) : DelegatingChatClient(inner)
{
    public override async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ChatResponse response = await base.GetResponseAsync(Named(messages, options), options, cancellationToken)
            .ConfigureAwait(false);
        return response.Messages.Any(message => message.Contents.Any(HasTexts))
            ? response.With([.. response.Messages.Select(message => Convert(message, WithStrings))])
            : response;
    }

    public override async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        await foreach (
            ChatResponseUpdate update in base.GetStreamingResponseAsync(
                    Named(messages, options),
                    options,
                    cancellationToken
                )
                .ConfigureAwait(false)
        )
        {
            if (!update.Contents.Any(HasTexts))
            {
                yield return update;
                continue;
            }
            ChatResponseUpdate converted = update.Clone();
            converted.Contents = [.. update.Contents.Select(WithStrings)];
            yield return converted;
        }
    }

    private static IEnumerable<ChatMessage> Named(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        KernelFunction[] functions = [.. (options?.Tools ?? []).OfType<KernelFunction>()];
        return functions.Length == 0
            ? messages
            : messages.Select(message =>
                message.Contents.Any(content => FullName(content, functions) is not null)
                    ? Convert(message, content => Named(content, functions))
                    : message
            );
    }

    private static AIContent Named(AIContent content, KernelFunction[] functions) =>
        content is FunctionCallContent call && FullName(call, functions) is { } name
            ? Copy(call, name, call.Arguments)
            : content;

    /// <summary>The name under which the model knows the function; null where the call has it, or it could be of several.</summary>
    private static string? FullName(AIContent content, KernelFunction[] functions)
    {
        if (content is not FunctionCallContent call || functions.Any(function => ((AITool)function).Name == call.Name))
        {
            return null;
        }
        KernelFunction[] candidates = [.. functions.Where(function => function.Name == call.Name)];
        return candidates is [AITool only] ? only.Name : null;
    }

    private static bool HasTexts(AIContent content) =>
        content is FunctionCallContent { Arguments: { } arguments } && arguments.Values.Any(IsText);

    private static bool IsText(object? argument) => argument is JsonElement { ValueKind: JsonValueKind.String };

    private static ChatMessage Convert(ChatMessage message, Func<AIContent, AIContent> convert)
    {
        ChatMessage converted = message.Clone();
        converted.Contents = [.. message.Contents.Select(convert)];
        return converted;
    }

    private static AIContent WithStrings(AIContent content) =>
        content is FunctionCallContent call && HasTexts(call)
            ? Copy(
                call,
                call.Name,
                call.Arguments!.ToDictionary(
                    argument => argument.Key,
                    argument => IsText(argument.Value) ? ((JsonElement)argument.Value!).GetString() : argument.Value
                )
            )
            : content;

    private static FunctionCallContent Copy(
        FunctionCallContent call,
        string name,
        IDictionary<string, object?>? arguments
    ) =>
        new(call.CallId, name, arguments)
        {
            AdditionalProperties = call.AdditionalProperties,
            Annotations = call.Annotations,
            Exception = call.Exception,
            InformationalOnly = call.InformationalOnly,
            RawRepresentation = call.RawRepresentation,
        };
}
