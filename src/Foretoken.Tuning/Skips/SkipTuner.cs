using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Skips;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tuning.Skips;

/// <summary>
/// Learns which parts of its layers a model can do without: one set for all prompts, and routers that choose per prompt; and
/// what either costs.
/// </summary>
/// <remarks>
/// <para>
/// Candidates are the blocks of least influence (1 - cosine of input and output: ShortGPT, arXiv 2403.03853), and the sublayers
/// whose absence changes least of the answers to a few prompts. On every prompt each candidate alone is left out, in prefill and
/// decode, and the next-token distributions are compared with the full model's over its own, forced answer: KL(full || without).
/// </para>
/// <para>
/// Sets for all prompts are chosen by greedy forward selection, measured again with every member, because skips interact. Routers
/// learn which candidates each prompt needs least (<see cref="LayerRouters"/>); where that does not help on prompts that are left
/// out, they choose that very set. Both are then measured on prompts held out from all of it.
/// </para>
/// <para>Deterministic: the same model, prompts, options and threads give the same result. Not thread-safe.</para>
/// </remarks>
internal sealed class SkipTuner : IDisposable
{
    private readonly ForetokenModel _model;
    private readonly SkipTuningOptions _options;
    private readonly PromptRenderer _renderer;

    /// <summary>Creates a tuner on a loaded model, which stays the caller's to dispose.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    /// <exception cref="ArgumentException">A target has fewer candidates than are to be chosen of them.</exception>
    /// <exception cref="ChatTemplateException">The model has no usable chat template.</exception>
    /// <exception cref="UnsupportedModelException">The model has too few layers for a target.</exception>
    public SkipTuner(ForetokenModel model, SkipTuningOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        _model = model;
        _options = options ?? new SkipTuningOptions();
        int layers = model.Shape.LayerCount;
        DecisionLayer = Math.Clamp((int)Math.Round(_options.DecisionDepth * layers), 1, Math.Max(1, layers - 1));
        foreach (SkipTarget target in _options.Targets)
        {
            if (target.Counts.Count == 0 || target.Counts[0] < 1 || target.Counts[^1] > target.Candidates)
            {
                throw new ArgumentException(
                    $"Of {target.Candidates} candidates nobody can choose {string.Join(", ", target.Counts)}: one to all of them are possible.",
                    nameof(options)
                );
            }

            int possible = Possible(target.Part).Count();
            if (possible < target.Counts[^1])
            {
                throw new UnsupportedModelException(
                    $"Of the model's {layers} layers, {possible} from layer {DecisionLayer} on can be skipped; {target.Counts[^1]} were asked for."
                );
            }
        }

        _renderer = new PromptRenderer(model);
    }

    /// <summary>The layer in front of which routers read; below it nothing is skipped.</summary>
    public int DecisionLayer { get; }

    /// <summary>How many prefills with something left out a tuning takes at most; full ones come on top, one per prompt.</summary>
    /// <param name="prompts">Prompts to learn from.</param>
    /// <param name="heldOut">Prompts to judge on.</param>
    public int CountMeasurements(int prompts, int heldOut) =>
        _options.Targets.Sum(target => Screening(target, prompts) + Alone(target, prompts) + Joint(target, prompts))
        + _options.Targets.Sum(target => 2 * target.Counts.Count * heldOut);

    /// <summary>Learns, and adds what it learned to a profile.</summary>
    /// <param name="profile">A profile of the model; what it says of skips is replaced.</param>
    /// <param name="prompts">Prompts to learn from.</param>
    /// <param name="heldOut">Prompts to judge on, at least one; none of them among <paramref name="prompts"/>.</param>
    /// <param name="progress">Receives the progress, on the calling thread.</param>
    /// <param name="cancellationToken">Stops the tuning; what was measured is kept where a folder was given.</param>
    /// <exception cref="ArgumentException">The profile or an adapter is of another model, or prompts are missing or in both lists.</exception>
    /// <exception cref="ContextFullException">A prompt and its answer do not fit into the model's context.</exception>
    /// <exception cref="UnsupportedModelException">The model's prefill cannot be staged.</exception>
    /// <exception cref="OperationCanceledException">The tuning was cancelled.</exception>
    public ModelProfile Tune(
        ModelProfile profile,
        IReadOnlyList<DocumentPrompt> prompts,
        IReadOnlyList<DocumentPrompt> heldOut,
        IProgress<TuningProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(profile);
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(heldOut);
        string fingerprint = ModelFingerprint.Compute(_model.Path);
        if (profile.Fingerprint != fingerprint)
        {
            throw new ArgumentException($"The profile was learned from '{profile.ModelName}'.", nameof(profile));
        }

        if (prompts.Count == 0 || heldOut.Count == 0)
        {
            throw new ArgumentException(
                "Skips are learned from prompts and judged on others; of both at least one is needed, a dozen are useful."
            );
        }

        RenderedPrompt[] rendered = TuningPrompts.Render(_renderer, prompts, heldOut);
        using SkipMeter meter = new(_model, _options, DecisionLayer, rendered, fingerprint);
        Work work = new(
            meter,
            new TuningClock(_options.TimeProvider, progress, TuningPhase.Skipping),
            rendered.Length + CountMeasurements(prompts.Count, heldOut.Count),
            cancellationToken
        );
        SkipExample[] examples = [.. Enumerable.Range(0, rendered.Length).Select(work.Describe)];
        List<SkipRouter> routers = [];
        List<ProfileSkipQuality> quality = [];
        int[] held = [.. Enumerable.Range(prompts.Count, heldOut.Count)];
        foreach (SkipTarget target in _options.Targets)
        {
            int[] candidates = Screen(target, examples.AsSpan(0, prompts.Count), work);
            double[][] costs =
            [
                .. Enumerable
                    .Range(0, prompts.Count)
                    .Select(prompt =>
                        candidates
                            .Select(layer => work.Measure(prompt, [new LayerSkip(layer, target.Part)]).Kl)
                            .ToArray()
                    ),
            ];
            int[] order = Select(target, candidates, costs, work);
            foreach (int count in target.Counts)
            {
                LayerSkip[] fixedSet = [.. order.Take(count).Select(layer => new LayerSkip(layer, target.Part))];
                quality.Add(Judge(fixedSet, null, held.Select(prompt => work.Measure(prompt, fixedSet))));
                SkipRouter router = LogisticRouterFit.Fit(
                    new SkipRouting(DecisionLayer, count, target.Part),
                    candidates,
                    order,
                    [.. examples.Take(prompts.Count).Select(example => example.Features)],
                    costs
                );
                routers.Add(router);
                quality.Add(
                    Judge(
                        [],
                        router.Routing,
                        held.Select(prompt =>
                            work.Measure(prompt, LayerRouters.Choose(router, examples[prompt].Features, count))
                        )
                    )
                );
            }
        }

        return profile with
        {
            Routers = routers,
            SkipQuality = quality,
            SkipAdapters = ScaledAdapter.ToProfile(_options.Adapters),
        };
    }

    /// <inheritdoc/>
    public void Dispose() => _renderer.Dispose();

    private IEnumerable<int> Possible(LayerPart part)
    {
        int layers = _model.Shape.LayerCount;
        return Enumerable
            .Range(DecisionLayer, layers - DecisionLayer)
            .Where(layer => new LayerSkip(layer, part).IsPossible(layers));
    }

    /// <summary>The layers that are needed least, ascending: blocks by their influence, sublayers by what their absence costs.</summary>
    private int[] Screen(SkipTarget target, ReadOnlySpan<SkipExample> examples, Work work)
    {
        int[] possible = [.. Possible(target.Part)];
        double[] need = new double[possible.Length];
        if (target.Part == LayerPart.Block)
        {
            foreach (SkipExample example in examples)
            {
                for (int i = 0; i < need.Length; i++)
                {
                    need[i] += example.Influence[possible[i]];
                }
            }
        }
        else
        {
            for (int prompt = 0; prompt < Math.Min(_options.ScreeningPrompts, examples.Length); prompt++)
            {
                for (int i = 0; i < need.Length; i++)
                {
                    need[i] += work.Measure(prompt, [new LayerSkip(possible[i], target.Part)]).Kl;
                }
            }
        }

        return [.. LayerRouters.LowestFirst(need).Take(target.Candidates).Select(i => possible[i]).Order()];
    }

    /// <summary>Greedy forward selection: candidates in the order in which they join the set.</summary>
    private int[] Select(SkipTarget target, int[] candidates, double[][] costs, Work work)
    {
        double[] alone = [.. candidates.Select((_, i) => costs.Average(cost => cost[i]))];
        int[] byCost = [.. LayerRouters.LowestFirst(alone).Select(i => candidates[i])];
        // alone, the one that costs least was measured on all prompts already
        List<int> chosen = [byCost[0]];
        int judges = Math.Min(_options.JointPrompts, costs.Length);
        while (chosen.Count < target.Counts[^1])
        {
            int best = -1;
            double least = double.PositiveInfinity;
            foreach (int layer in byCost.Where(layer => !chosen.Contains(layer)).Take(_options.Nominees))
            {
                LayerSkip[] tried = [.. chosen.Append(layer).Select(one => new LayerSkip(one, target.Part))];
                double kl = 0;
                for (int prompt = 0; prompt < judges; prompt++)
                {
                    kl += work.Measure(prompt, tried).Kl / judges;
                }

                if (kl < least)
                {
                    (best, least) = (layer, kl);
                }
            }

            chosen.Add(best);
        }

        return [.. chosen];
    }

    private static ProfileSkipQuality Judge(
        IReadOnlyList<LayerSkip> skips,
        SkipRouting? routing,
        IEnumerable<SkipLoss> losses
    )
    {
        SkipLoss[] all = [.. losses];
        return new ProfileSkipQuality(
            [.. skips.Order()],
            routing,
            all.Average(loss => loss.Kl),
            all.Average(loss => loss.Agreement)
        );
    }

    private int Screening(SkipTarget target, int prompts) =>
        target.Part == LayerPart.Block
            ? 0
            : Possible(target.Part).Count() * Math.Min(_options.ScreeningPrompts, prompts);

    private int Alone(SkipTarget target, int prompts) =>
        Math.Min(target.Candidates, Possible(target.Part).Count()) * prompts;

    private int Joint(SkipTarget target, int prompts)
    {
        int candidates = Math.Min(target.Candidates, Possible(target.Part).Count());
        int tried = Enumerable
            .Range(1, Math.Max(0, target.Counts[^1] - 1))
            .Sum(chosen => Math.Min(_options.Nominees, candidates - chosen));
        return tried * Math.Min(_options.JointPrompts, prompts);
    }

    /// <summary>Measures and tells how far it is, by the number of prefills.</summary>
    private sealed class Work(SkipMeter meter, TuningClock clock, int total, CancellationToken cancellationToken)
    {
        private int _done;

        internal SkipExample Describe(int prompt) => Done(meter.Describe(prompt, cancellationToken));

        internal SkipLoss Measure(int prompt, IEnumerable<LayerSkip> skips) =>
            Done(meter.Measure(prompt, skips, cancellationToken));

        private T Done<T>(T result)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _done++;
            clock.Report((double)_done / total, meter.WasKnown ? 1.0 / total : 0);
            return result;
        }
    }
}
