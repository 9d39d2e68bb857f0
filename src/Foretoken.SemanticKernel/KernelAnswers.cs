using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace Foretoken.SemanticKernel;

/// <summary>
/// Semantic Kernel takes metadata from the additional properties of an answer and inner content from its raw representation. Under
/// the names that its own connectors use, the former get what the answer says of itself; the latter becomes the answer.
/// </summary>
internal sealed class KernelAnswers(IChatClient inner) : DelegatingChatClient(inner)
{
    private const string FinishReasonKey = "FinishReason";
    private const string IdKey = "Id";
    private const string CreatedAtKey = "CreatedAt";
    private const string ModelIdKey = "ModelId";

    public override async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ChatResponse response = await base.GetResponseAsync(messages, options, cancellationToken).ConfigureAwait(false);
        // copies: the answer may be one that a cache keeps
        ChatMessage[] answers = [.. response.Messages];
        if (answers.Length > 0)
        {
            answers[^1] = answers[^1].Clone();
            answers[^1].AdditionalProperties = Describe(
                answers[^1].AdditionalProperties,
                response.FinishReason,
                response.ResponseId,
                response.CreatedAt,
                response.ModelId
            );
        }
        ChatResponse described = response.With(answers);
        described.AdditionalProperties = Describe(
            response.AdditionalProperties,
            response.FinishReason,
            response.ResponseId,
            response.CreatedAt,
            response.ModelId
        );
        described.RawRepresentation = response;
        return described;
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
            ChatResponseUpdate described = update.Clone();
            described.AdditionalProperties = Describe(
                update.AdditionalProperties,
                update.FinishReason,
                update.ResponseId,
                update.CreatedAt,
                update.ModelId
            );
            described.RawRepresentation = update;
            yield return described;
        }
    }

    private static AdditionalPropertiesDictionary? Describe(
        AdditionalPropertiesDictionary? properties,
        ChatFinishReason? finishReason,
        string? id,
        DateTimeOffset? createdAt,
        string? modelId
    )
    {
        AdditionalPropertiesDictionary described = properties is null ? [] : new(properties);
        Add(FinishReasonKey, finishReason?.Value);
        Add(IdKey, id);
        Add(CreatedAtKey, createdAt);
        Add(ModelIdKey, modelId);
        return described.Count > 0 ? described : null;

        void Add(string key, object? value)
        {
            if (value is not null)
            {
                described[key] = value;
            }
        }
    }
}
