using Foretoken.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tuning.Importance;

/// <summary>What one prompt teaches: the attention of the lower layers in its prefill, and that of the model's own answer. Immutable.</summary>
internal sealed record TuningExample
{
    /// <summary>The prompt's <see cref="DocumentPrompt.Id"/>.</summary>
    internal required string Prompt { get; init; }

    /// <summary>Tokens of the prompt.</summary>
    internal required int TokenCount { get; init; }

    /// <summary>The prompt, [tokens]; empty where it is not known.</summary>
    internal ReadOnlyMemory<int> Tokens { get; init; }

    /// <summary>Attention heads per layer.</summary>
    internal required int HeadCount { get; init; }

    /// <summary>
    /// Attention that every token receives in the prefill, [layers, sources, heads, tokens] row-major, from layer 0 on; sources
    /// as in <see cref="AttentionFeatures"/>.
    /// </summary>
    internal required float[] Attention { get; init; }

    /// <summary>First layer of <see cref="AnswerAttention"/>.</summary>
    internal required int FirstAnswerLayer { get; init; }

    /// <summary>
    /// Attention that the tokens of the answer pay to every token of the prompt: maximum over the answer, then mean over the
    /// heads, [layers, tokens] row-major.
    /// </summary>
    internal required float[] AnswerAttention { get; init; }

    /// <summary>Residual stream in front of some boundaries, by layer, [tokens, embedding] row-major each.</summary>
    internal required IReadOnlyDictionary<int, float[]> Residuals { get; init; }

    /// <summary>Layers of <see cref="Attention"/>.</summary>
    internal int AttentionLayers => Attention.Length / (AttentionFeatures.SourceCount * HeadCount * TokenCount);

    /// <summary>Layers of <see cref="AnswerAttention"/>.</summary>
    internal int AnswerLayers => AnswerAttention.Length / TokenCount;

    /// <summary>The importance that a policy gives to the tokens at a boundary, as in a prefill that kept all tokens up to there.</summary>
    internal float[] ComputeImportance(IImportancePolicy policy, int boundary)
    {
        AttentionProbe[] probes = [.. AttentionFeatures.GetProbes(0, Math.Min(boundary, AttentionLayers))];
        int[] heads = new int[probes.Length];
        Array.Fill(heads, HeadCount);
        ReadOnlyMemory<float>[] scores = new ReadOnlyMemory<float>[probes.Length];
        int size = HeadCount * TokenCount;
        for (int i = 0; i < scores.Length; i++)
        {
            scores[i] = Attention.AsMemory(i * size, size);
        }

        float[] importance = new float[TokenCount];
        policy.ComputeImportance(
            new BoundaryProbes(TokenCount, probes, heads, scores)
            {
                Layer = boundary,
                Tokens = Tokens.Span,
                Residual = Residuals.GetValueOrDefault(boundary),
            },
            importance
        );
        return importance;
    }
}
