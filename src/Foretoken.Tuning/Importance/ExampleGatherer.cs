using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Quality;

namespace Foretoken.Tuning.Importance;

/// <summary>
/// Lets the full model answer prompts and records, per prompt, the attention of the lower layers and that of the answer in the
/// upper ones.
/// </summary>
/// <remarks>Not thread-safe; it computes on the calling thread.</remarks>
internal sealed class ExampleGatherer
{
    private readonly ForetokenModel _model;
    private readonly int _attentionLayers;
    private readonly int _firstAnswerLayer;
    private readonly int[] _residualLayers;
    private readonly int _answerTokens;

    /// <param name="model">The model.</param>
    /// <param name="boundaries">The boundaries that predictors are wanted for, ascending.</param>
    /// <param name="residualBoundaries">Those of them whose residual stream is recorded.</param>
    /// <param name="answerTokens">Tokens of an answer, at most.</param>
    internal ExampleGatherer(
        ForetokenModel model,
        IReadOnlyList<int> boundaries,
        IReadOnlyList<int> residualBoundaries,
        int answerTokens
    )
    {
        _model = model;
        _attentionLayers = boundaries[^1];
        _firstAnswerLayer = boundaries[0];
        _residualLayers = [.. residualBoundaries];
        _answerTokens = answerTokens;
    }

    /// <summary>Records one prompt.</summary>
    /// <param name="session">A session of the model with room for the prompt and its answer; cleared first.</param>
    /// <param name="id">The prompt's name.</param>
    /// <param name="tokens">The prompt.</param>
    /// <param name="cancellationToken">Stops the work.</param>
    internal TuningExample Gather(
        ForetokenSession session,
        string id,
        ReadOnlySpan<int> tokens,
        CancellationToken cancellationToken
    )
    {
        session.Clear();
        PrefillRecorder prefill = new(_attentionLayers, _residualLayers);
        session.Prefill(
            tokens,
            new PrefillRequest
            {
                Plan = KeepAll([.. _residualLayers.Append(_attentionLayers).Distinct().Order()]),
                Importance = prefill,
            },
            progress: null,
            cancellationToken
        );

        List<int> answer = [];
        while (answer.Count < _answerTokens)
        {
            int token = LogitComparison.ArgMax(session.GetLogits());
            answer.Add(token);
            if (_model.IsEndOfGeneration(token))
            {
                break;
            }

            session.Decode(token, cancellationToken);
        }

        // the same answer again, in one go behind the cached prompt, because only a prefill can be probed
        session.Rewind(tokens.Length);
        AnswerRecorder recorder = new(_firstAnswerLayer, tokens.Length);
        session.Prefill(
            [.. tokens, .. answer],
            new PrefillRequest { Plan = KeepAll([_model.Shape.LayerCount - 1]), Importance = recorder },
            progress: null,
            cancellationToken
        );

        return new TuningExample
        {
            Prompt = id,
            TokenCount = tokens.Length,
            HeadCount = _model.Shape.HeadCount,
            Attention = prefill.Attention,
            FirstAnswerLayer = _firstAnswerLayer,
            AnswerAttention = recorder.Attention,
            Residuals = prefill.Residuals,
        };
    }

    private static PrefillPlan KeepAll(int[] layers) =>
        PrefillPlan.FromBoundaries(layers.Select(layer => new PlanBoundary(layer, 1)));

    /// <summary>An importance that keeps what it is shown: the attention features' probes and the residual streams.</summary>
    private sealed class PrefillRecorder(int attentionLayers, int[] residualLayers) : IImportancePolicy
    {
        private readonly List<float> _attention = [];

        public string Name => "recorder of the prefill";

        internal float[] Attention => [.. _attention];

        internal Dictionary<int, float[]> Residuals { get; } = [];

        public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
            AttentionFeatures.GetProbes(layerBegin, Math.Min(layerEnd, attentionLayers));

        public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
        {
            // stages come in the order of their layers
            for (int probe = 0; probe < probes.Count; probe++)
            {
                _attention.AddRange(probes.Scores(probe));
            }

            if (residualLayers.Contains(probes.Layer))
            {
                Residuals.Add(probes.Layer, probes.Residual.ToArray());
            }

            importance.Clear();
        }
    }

    /// <summary>An importance that keeps what the answer attends to: maximum over its tokens, mean over the heads.</summary>
    private sealed class AnswerRecorder(int firstLayer, int promptTokens) : IImportancePolicy
    {
        private readonly List<float> _attention = [];

        public string Name => "recorder of the answer";

        internal float[] Attention => [.. _attention];

        public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
            [
                .. Enumerable
                    .Range(firstLayer, layerEnd - firstLayer)
                    .Select(layer => new AttentionProbe(
                        layer,
                        ProbeReduction.Max,
                        FirstQuery: 0,
                        Keys: ProbeKeys.Sequence
                    )),
            ];

        public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
        {
            float[] mean = new float[probes.KeyCount(0)];
            for (int probe = 0; probe < probes.Count; probe++)
            {
                AttentionScores.MeanOverHeads(probes, probe, mean);
                _attention.AddRange(mean.AsSpan(0, promptTokens));
            }

            importance.Clear();
        }
    }
}
