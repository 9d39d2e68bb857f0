using Foretoken.Sessions;
using Microsoft.SemanticKernel;

namespace Foretoken.SemanticKernel;

/// <summary>What Foretoken leaves in the inner content of answers.</summary>
/// <remarks>
/// The inner content of an answer is the <see cref="Microsoft.Extensions.AI.ChatResponse"/>, that of a streamed one the
/// <see cref="Microsoft.Extensions.AI.ChatResponseUpdate"/>. It is not part of a serialised chat history, which stays short.
/// </remarks>
public static class ForetokenKernelContentExtensions
{
    /// <summary>The prefill report of an answer; null when the answer is not from Foretoken, or came out of a cache or a saved history.</summary>
    /// <param name="content">The answer.</param>
    public static PrefillReport? GetPrefillReport(this KernelContent content)
    {
        ArgumentNullException.ThrowIfNull(content);
        return ForetokenChatOptionsExtensions.FindPrefillReport(content.InnerContent);
    }

    /// <summary>The prefill report of a streamed answer, whose last content has it; null for the others.</summary>
    /// <param name="content">A content of the answer.</param>
    public static PrefillReport? GetPrefillReport(this StreamingKernelContent content)
    {
        ArgumentNullException.ThrowIfNull(content);
        return ForetokenChatOptionsExtensions.FindPrefillReport(content.InnerContent);
    }

    /// <summary>The prefill report of the answer to a prompt; null when the result is none, or not from Foretoken.</summary>
    /// <param name="result">The result of a prompt function.</param>
    public static PrefillReport? GetPrefillReport(this FunctionResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        return result.GetValue<object>() switch
        {
            KernelContent content => content.GetPrefillReport(),
            IReadOnlyList<KernelContent> { Count: > 0 } contents => contents[^1].GetPrefillReport(),
            { } value => ForetokenChatOptionsExtensions.FindPrefillReport(value),
            null => null,
        };
    }
}
