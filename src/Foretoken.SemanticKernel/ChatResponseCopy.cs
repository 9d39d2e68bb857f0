using Microsoft.Extensions.AI;

namespace Foretoken.SemanticKernel;

/// <summary>Copies of a response, which may be one that a cache keeps.</summary>
internal static class ChatResponseCopy
{
    /// <summary>The response with other messages.</summary>
    internal static ChatResponse With(this ChatResponse response, IList<ChatMessage> messages) =>
        new(messages)
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
