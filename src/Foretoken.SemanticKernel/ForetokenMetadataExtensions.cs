using Foretoken.Inference;

namespace Foretoken.SemanticKernel;

/// <summary>What Foretoken leaves in the metadata of kernel contents and function results.</summary>
public static class ForetokenMetadataExtensions
{
    private const string PrefillReportKey = "foretoken.prefill_report";

    /// <summary>
    /// The prefill report of an answer; null when the answer is not from Foretoken. While an answer streams, its last
    /// content has it.
    /// </summary>
    /// <param name="metadata">
    /// The metadata of a <see cref="Microsoft.SemanticKernel.KernelContent"/>, a
    /// <see cref="Microsoft.SemanticKernel.StreamingKernelContent"/> or a
    /// <see cref="Microsoft.SemanticKernel.FunctionResult"/>.
    /// </param>
    public static PrefillReport? GetPrefillReport(this IReadOnlyDictionary<string, object?>? metadata) =>
        metadata is not null && metadata.TryGetValue(PrefillReportKey, out object? value)
            ? value as PrefillReport
            : null;
}
