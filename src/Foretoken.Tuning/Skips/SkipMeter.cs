using System.Globalization;
using System.Numerics.Tensors;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Skips;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Tuning.Skips;

/// <summary>
/// Measures what doing without parts of layers costs on given prompts, each thing once: what was measured before, also by an
/// earlier run, is remembered.
/// </summary>
/// <remarks>Not thread-safe; it computes on the calling thread.</remarks>
internal sealed class SkipMeter : IDisposable
{
    private readonly ForetokenModel _model;
    private readonly SkipTuningOptions _options;
    private readonly ForetokenSession _session;
    private readonly int _decisionLayer;
    private readonly RenderedPrompt[] _prompts;
    private readonly SkipExample?[] _examples;
    private readonly ForcedAnswer?[] _answers;
    private readonly string?[] _paths;

    internal SkipMeter(
        ForetokenModel model,
        SkipTuningOptions options,
        int decisionLayer,
        RenderedPrompt[] prompts,
        string fingerprint
    )
    {
        int context = TuningPrompts.ContextSize(model, prompts, options.AnswerTokens);
        _model = model;
        _options = options;
        _decisionLayer = decisionLayer;
        _prompts = prompts;
        _examples = new SkipExample?[prompts.Length];
        _answers = new ForcedAnswer?[prompts.Length];
        _paths = new string?[prompts.Length];
        if (options.ExamplesFolder is { } folder)
        {
            Directory.CreateDirectory(folder);
            for (int i = 0; i < prompts.Length; i++)
            {
                _paths[i] = Path.Combine(folder, $"{Key(fingerprint, prompts[i].Tokens)}.skips.json");
                _examples[i] = SkipExample.TryRead(_paths[i]!);
            }
        }

        _session = model.CreateSession(
            new SessionOptions
            {
                ContextSize = context,
                Threads = options.Threads,
                FlashAttention = options.FlashAttention,
                Staged = true,
            }
        );
    }

    /// <summary>Whether the last call had to measure nothing.</summary>
    internal bool WasKnown { get; private set; }

    /// <summary>What routers read of a prompt, [embedding], and the influence of each layer on it.</summary>
    internal SkipExample Describe(int prompt, CancellationToken cancellationToken)
    {
        WasKnown = _examples[prompt] is not null;
        if (!WasKnown)
        {
            Answer(prompt, cancellationToken);
        }

        return _examples[prompt]!;
    }

    /// <summary>What a prompt loses without some parts.</summary>
    internal SkipLoss Measure(int prompt, IEnumerable<LayerSkip> skips, CancellationToken cancellationToken)
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([], skips: skips);
        string what = plan.ToString();
        WasKnown = _examples[prompt]?.Losses.ContainsKey(what) == true;
        if (WasKnown)
        {
            return _examples[prompt]!.Losses[what];
        }

        ForcedAnswer answer = _answers[prompt] ?? Answer(prompt, cancellationToken);
        _session.Clear();
        _session.Prefill(
            _prompts[prompt].Tokens,
            new PrefillRequest { Plan = plan, Adapters = _options.Adapters },
            null,
            cancellationToken
        );
        ForcedComparison comparison = answer.Compare(
            _session,
            completion: null,
            _options.TimeProvider,
            cancellationToken
        );
        SkipLoss loss = new(comparison.Kl, comparison.Agreement);
        _examples[prompt]!.Losses.Add(what, loss);
        Save(prompt);
        return loss;
    }

    public void Dispose() => _session.Dispose();

    /// <summary>The full model's answer, and with it what its prefill tells; logits are not kept from run to run.</summary>
    private ForcedAnswer Answer(int prompt, CancellationToken cancellationToken)
    {
        int last = _model.Shape.LayerCount - 1;
        Recorder recorder = new(_decisionLayer, _model.Shape.LayerCount);
        _session.Clear();
        _session.Prefill(
            _prompts[prompt].Tokens,
            new PrefillRequest
            {
                // everything is kept, so these are the full model's logits
                Plan = PrefillPlan.FromBoundaries(
                    Enumerable.Range(1, last).Select(layer => new PlanBoundary(layer, 1))
                ),
                Importance = recorder,
                Adapters = _options.Adapters,
            },
            null,
            cancellationToken
        );
        ForcedAnswer answer = ForcedAnswer.Record(
            _model,
            _session,
            _options.AnswerTokens,
            _options.TimeProvider,
            cancellationToken
        );
        if (_examples[prompt] is null)
        {
            _examples[prompt] = new SkipExample
            {
                Features = recorder.Features,
                Influence = recorder.Influence,
                Losses = [],
            };
            Save(prompt);
        }

        return _answers[prompt] = answer;
    }

    private void Save(int prompt)
    {
        if (_paths[prompt] is { } path)
        {
            _examples[prompt]!.Write(path);
        }
    }

    // of everything that a measurement depends on
    private string Key(string fingerprint, ReadOnlySpan<int> tokens) =>
        TuningPrompts.KeyOf(
            string.Create(
                CultureInfo.InvariantCulture,
                $"1 {fingerprint} {_decisionLayer} {_options.AnswerTokens} {TuningPrompts.KeyOf(tokens)}"
            )
                + string.Concat(
                    ScaledAdapter
                        .ToProfile(_options.Adapters)
                        .Select(adapter => $" {adapter.Fingerprint} {BitConverter.SingleToInt32Bits(adapter.Scale)}")
                        .Order()
                )
        );

    /// <summary>An importance that probes nothing and looks at the residual stream of every boundary.</summary>
    private sealed class Recorder(int decisionLayer, int layerCount) : IImportancePolicy
    {
        private float[] _before = [];

        public string Name => "recorder of the residual stream";

        internal float[] Features { get; private set; } = [];

        internal double[] Influence { get; } = new double[layerCount];

        public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) => [];

        public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
        {
            int tokens = importance.Length;
            ReadOnlySpan<float> residual = probes.Residual;
            if (probes.Layer == decisionLayer)
            {
                Features = PromptFeatures.Compute(residual, tokens);
            }

            if (_before.Length > 0)
            {
                Influence[probes.Layer - 1] = MeanInfluence(_before, residual, tokens);
            }

            _before = residual.ToArray();
            importance.Clear();
        }

        private static double MeanInfluence(ReadOnlySpan<float> input, ReadOnlySpan<float> output, int tokens)
        {
            int width = input.Length / tokens;
            double sum = 0;
            for (int i = 0; i < tokens; i++)
            {
                sum +=
                    1
                    - TensorPrimitives.CosineSimilarity(input.Slice(i * width, width), output.Slice(i * width, width));
            }

            return sum / tokens;
        }
    }
}
