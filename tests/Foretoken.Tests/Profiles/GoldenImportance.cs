using System.Text.Json;
using Foretoken.Importance;
using Foretoken.Tuning.Importance;

namespace Foretoken.Tests.Profiles;

/// <summary>Values of the numpy reference behind the project's quality figures: 3 prompts of 96 tokens, 2 layers, 2 heads.</summary>
/// <param name="Attention">[prompt, layer, source, head, token].</param>
/// <param name="AnswerAttention">[prompt, layer, head, token], of layers above the boundary.</param>
/// <param name="Features0">[token, feature] of prompt 0.</param>
/// <param name="Target0">[token] of prompt 0.</param>
/// <param name="Weights">[feature], fitted on all prompts.</param>
/// <param name="Importance0">[token] of prompt 0.</param>
/// <param name="Keep0">Tokens of prompt 0 that half a retention keeps.</param>
internal sealed record GoldenImportance(
    float[][][][][] Attention,
    float[][][][] AnswerAttention,
    double[][] Features0,
    double[] Target0,
    double[] Weights,
    double[] Importance0,
    int[] Keep0
)
{
    public static GoldenImportance Values { get; } = Load();

    public int Layers => Attention[0].Length;

    public int Heads => Attention[0][0][0].Length;

    public int Tokens => Attention[0][0][0][0].Length;

    public TuningExample Example(int prompt) =>
        new()
        {
            Prompt = $"golden-{prompt}",
            TokenCount = Tokens,
            HeadCount = Heads,
            Attention =
            [
                .. Attention[prompt].SelectMany(layer => layer.SelectMany(source => source.SelectMany(head => head))),
            ],
            FirstAnswerLayer = Layers,
            AnswerAttention =
            [
                .. AnswerAttention[prompt]
                    .SelectMany(layer => Enumerable.Range(0, Tokens).Select(j => layer.Average(head => head[j]))),
            ],
            Residuals = new Dictionary<int, float[]>(),
        };

    /// <summary>The probes of a stage of all the layers, as a prefill would deliver them.</summary>
    public BoundaryProbes Probes(
        int prompt,
        int layerBegin,
        int layerEnd,
        int[]? later = null,
        TokenMemory? memory = null
    )
    {
        AttentionProbe[] probes = [.. AttentionFeatures.GetProbes(layerBegin, layerEnd)];
        int[] heads = [.. Enumerable.Repeat(Heads, probes.Length)];
        ReadOnlyMemory<float>[] scores =
        [
            .. Attention[prompt]
                [layerBegin..layerEnd]
                .SelectMany(layer =>
                    layer.Select(source => new ReadOnlyMemory<float>([.. source.SelectMany(head => head)]))
                ),
        ];
        return new BoundaryProbes(Tokens, probes, heads, scores)
        {
            Layer = layerEnd,
            LaterBoundaries = later,
            Memory = memory,
        };
    }

    private static GoldenImportance Load()
    {
        string path = Path.Combine(AppContext.BaseDirectory, "Profiles", "importance.golden.json");
        return JsonSerializer.Deserialize<GoldenImportance>(File.ReadAllText(path), JsonSerializerOptions.Web)!;
    }
}
