using System.Globalization;
using System.Numerics.Tensors;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Tuning;

/// <summary>Learns the profile of a model from its own answers to prompts.</summary>
/// <remarks>
/// <para>
/// Self-distillation, without labels: the full model answers each prompt; the attention that its answer pays above a boundary
/// says which tokens mattered, and a ridge regression learns to tell them from the attention of the layers below, or a network
/// from the residual stream. The losses of plans are then measured on prompts that took no part in the fit.
/// </para>
/// <para>Deterministic: the same model, prompts, options and threads give the same profile but for its date. Not thread-safe.</para>
/// </remarks>
internal sealed class ModelTuner : IDisposable
{
    // the matrix of products grows with the square of the features
    private const int MaxFeatures = 4096;

    private readonly ForetokenModel _model;
    private readonly TuningOptions _options;
    private readonly PromptRenderer _renderer;
    private readonly int[] _residualBoundaries;

    /// <summary>Creates a tuner on a loaded model, which stays the caller's to dispose.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    /// <exception cref="ChatTemplateException">The model has no usable chat template.</exception>
    /// <exception cref="UnsupportedModelException">The model has fewer than 3 layers.</exception>
    public ModelTuner(ForetokenModel model, TuningOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (model.Shape.LayerCount < 3)
        {
            throw new UnsupportedModelException(
                $"The model has {model.Shape.LayerCount} layers; to learn which tokens matter above a boundary takes 3: one below it, one above, and the last one, which no probe can see."
            );
        }

        _model = model;
        _options = options ?? new TuningOptions();
        _renderer = new PromptRenderer(model);
        int perLayer = AttentionFeatures.CountPerLayer(model.Shape.HeadCount);
        int last = Math.Min(
            (int)Math.Round(TuningSchedules.DeepestBoundary * model.Shape.LayerCount),
            Math.Min(model.Shape.LayerCount - 2, Math.Max(2, MaxFeatures / perLayer))
        );
        Boundaries = [.. Enumerable.Range(1, Math.Max(1, last))];
        _residualBoundaries =
            ReadsResidual(_options.Inputs) || _options.RecordResiduals
                ?
                [
                    .. _options
                        .Schedules.SelectMany(schedule =>
                            PlanAt(schedule, schedule.Waypoints.Count, model.Shape.LayerCount)
                        )
                        .Select(boundary => boundary.Layer)
                        .Where(layer => layer <= Boundaries[^1])
                        .Distinct()
                        .Order(),
                ]
                : [];
    }

    /// <summary>The boundaries that predictors are learned for, ascending.</summary>
    public IReadOnlyList<int> Boundaries { get; }

    /// <summary>Whether a tuning with these inputs needs residual streams.</summary>
    /// <param name="inputs">The inputs.</param>
    public static bool ReadsResidual(PredictorInputs inputs) =>
        (inputs & (PredictorInputs.Residual | PredictorInputs.Network)) != 0;

    /// <summary>Learns.</summary>
    /// <param name="prompts">Prompts to fit on.</param>
    /// <param name="heldOut">Prompts to judge on; none of them among <paramref name="prompts"/>. May be empty: then nothing is measured.</param>
    /// <param name="progress">Receives the progress, on the calling thread.</param>
    /// <param name="cancellationToken">Stops the tuning; what was gathered is kept where a folder was given.</param>
    /// <exception cref="ArgumentException">There are no prompts, or some are in both lists.</exception>
    /// <exception cref="ContextFullException">A prompt and its answer do not fit into the model's context.</exception>
    /// <exception cref="UnsupportedModelException">The model's prefill cannot be staged.</exception>
    /// <exception cref="OperationCanceledException">The tuning was cancelled.</exception>
    public ModelProfile Tune(
        IReadOnlyList<DocumentPrompt> prompts,
        IReadOnlyList<DocumentPrompt> heldOut,
        IProgress<TuningProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(heldOut);
        if (prompts.Count == 0)
        {
            throw new ArgumentException(
                "A tuning needs at least one prompt; a few dozen make a good profile.",
                nameof(prompts)
            );
        }

        RenderedPrompt[] rendered = TuningPrompts.Render(_renderer, prompts, heldOut);
        ImportanceFit fit = new(
            _model.Shape.HeadCount,
            Boundaries,
            _options.Inputs.HasFlag(PredictorInputs.Residual) ? _residualBoundaries : [],
            _options.Inputs,
            _model.Shape.EmbeddingSize
        );
        NetworkSamples? samples = _options.Inputs.HasFlag(PredictorInputs.Network)
            ? new NetworkSamples(_residualBoundaries, _model.Shape.EmbeddingSize, prompts.Count)
            : null;
        string fingerprint = ModelFingerprint.Compute(_model.Path);
        List<TuningExample> judges = [];
        Gather(
            fingerprint,
            rendered,
            [.. prompts.Concat(heldOut).Select(prompt => prompt.Id)],
            (index, example) =>
            {
                if (index < prompts.Count)
                {
                    fit.Add(example);
                    samples?.Add(example);
                }
                else
                {
                    judges.Add(example);
                }
            },
            progress,
            cancellationToken
        );

        TuningClock clock = new(_options.TimeProvider, progress, TuningPhase.Fitting);
        ImportancePredictor[] predictors = new ImportancePredictor[Boundaries.Count];
        for (int i = 0; i < predictors.Length; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ImportanceWeights weights = fit.Solve(Boundaries[i]);
            ImportancePredictor predictor = new(
                weights.Layer,
                weights.Attention,
                weights.Residual,
                Threshold: null,
                double.NaN
            )
            {
                MatchWeights = weights.Matches,
            };
            if (samples is not null && _residualBoundaries.Contains(predictor.Layer))
            {
                predictor = AddNetwork(
                    predictor,
                    samples,
                    new ActionProgress<NetworkEpoch>(epoch =>
                        clock.Report((i + ((double)epoch.Epoch / epoch.Epochs)) / predictors.Length)
                    ),
                    cancellationToken
                );
            }

            predictors[i] = Judge(predictor, judges);
            clock.Report((i + 1.0) / predictors.Length);
        }

        ModelProfile profile = new()
        {
            Fingerprint = fingerprint,
            ModelName = _model.GetMetadata("general.name") ?? Path.GetFileNameWithoutExtension(_model.Path),
            LayerCount = _model.Shape.LayerCount,
            HeadCount = _model.Shape.HeadCount,
            EmbeddingSize = _model.Shape.EmbeddingSize,
            Origin = new ProfileOrigin(
                _options.TimeProvider.GetUtcNow(),
                prompts.Count,
                heldOut.Count,
                (int)QualityTable.Median(rendered.Take(prompts.Count).Select(prompt => (double)prompt.Tokens.Length)),
                _options.Seed,
                _options.Description
            ),
            Predictors = predictors,
        };
        return _options.MeasureLosses && heldOut.Count > 0 && _options.Schedules.Count > 0
            ? Measure(profile, heldOut, progress, cancellationToken)
            : profile;
    }

    /// <inheritdoc/>
    public void Dispose() => _renderer.Dispose();

    private void Gather(
        string fingerprint,
        RenderedPrompt[] prompts,
        string[] ids,
        Action<int, TuningExample> onExample,
        IProgress<TuningProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        int context = TuningPrompts.ContextSize(_model, prompts, _options.AnswerTokens);
        if (_options.ExamplesFolder is { } folder)
        {
            Directory.CreateDirectory(folder);
        }

        using ForetokenSession session = _model.CreateSession(
            new SessionOptions
            {
                ContextSize = context,
                Threads = _options.Threads,
                FlashAttention = _options.FlashAttention,
                Staged = true,
            }
        );
        ExampleGatherer gatherer = new(_model, Boundaries, _residualBoundaries, _options.AnswerTokens);
        TuningClock clock = new(_options.TimeProvider, progress, TuningPhase.Gathering);
        double total = prompts.Sum(prompt => (double)prompt.Tokens.Length);
        double done = 0;
        for (int i = 0; i < prompts.Length; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            string? path = _options.ExamplesFolder is null
                ? null
                : Path.Combine(_options.ExamplesFolder, $"{ExampleKey(fingerprint, prompts[i].Tokens)}.gguf");
            TuningExample? example = path is null ? null : TryRead(path);
            bool isResumed = example is not null;
            if (example is null)
            {
                example = gatherer.Gather(session, ids[i], prompts[i].Tokens, cancellationToken);
                if (path is not null)
                {
                    ExampleFile.Write(path, example);
                }
            }

            onExample(i, example with { Tokens = prompts[i].Tokens });
            done += prompts[i].Tokens.Length;
            clock.Report(done / total, isResumed ? prompts[i].Tokens.Length / total : 0);
        }
    }

    // a file that an interruption or a full disk left damaged is made again
    private static TuningExample? TryRead(string path)
    {
        try
        {
            return File.Exists(path) ? ExampleFile.Read(path) : null;
        }
        catch (Exception e) when (e is IOException or GgufFormatException)
        {
            return null;
        }
    }

    private ImportancePredictor AddNetwork(
        ImportancePredictor linear,
        NetworkSamples samples,
        IProgress<NetworkEpoch> progress,
        CancellationToken cancellationToken
    )
    {
        bool isAlone = _options.Inputs == PredictorInputs.Network;
        ResidualNetwork network = samples.Train(
            linear.Layer,
            isAlone ? null : linear,
            new NetworkTrainerOptions { Seed = unchecked((uint)_options.Seed), Threads = _options.Threads },
            progress,
            cancellationToken
        );
        return linear with { Network = network, AttentionWeights = isAlone ? default : linear.AttentionWeights };
    }

    /// <summary>A predictor with what it is worth on the prompts held out, and the threshold learned there.</summary>
    private ImportancePredictor Judge(ImportancePredictor predictor, List<TuningExample> judges)
    {
        if (judges.Count == 0)
        {
            return predictor;
        }

        LearnedImportance learned = new([predictor]);
        List<(float Importance, float Mass)> tokens = [];
        double correlation = 0;
        foreach (TuningExample example in judges)
        {
            Range body = AttentionScores.Body(example.TokenCount);
            float[] importance = example.ComputeImportance(learned, predictor.Layer);
            float[] target = new float[example.TokenCount];
            ReadOnlySpan<float> answer = ImportanceFit.AnswerFrom(example, predictor.Layer);
            ImportanceTarget.Compute(answer, example.TokenCount, target);
            correlation += Correlation(importance.AsSpan(body), target.AsSpan(body)) / judges.Count;
            // the threshold is for what tokens are selected by
            TokenRanking.Rank(
                importance,
                [.. Enumerable.Range(0, importance.Length)],
                TokenRanking.SpanLength(importance.Length)
            );
            ImportanceTarget.Mass(answer, example.TokenCount, target);
            float mass = TensorPrimitives.Sum<float>(target.AsSpan(body));
            int from = body.GetOffsetAndLength(example.TokenCount).Offset;
            int count = body.GetOffsetAndLength(example.TokenCount).Length;
            for (int i = from; i < from + count; i++)
            {
                // every prompt counts the same
                tokens.Add((importance[i], target[i] / mass));
            }
        }

        return predictor with
        {
            Threshold = Threshold(tokens, _options.ThresholdRecall * judges.Count),
            Correlation = correlation,
        };
    }

    private static float Threshold(List<(float Importance, float Mass)> tokens, double wanted)
    {
        double reached = 0;
        foreach ((float importance, float mass) in tokens.OrderByDescending(token => token.Importance))
        {
            reached += mass;
            if (reached >= wanted)
            {
                return importance;
            }
        }

        return tokens.Min(token => token.Importance);
    }

    private ModelProfile Measure(
        ModelProfile profile,
        IReadOnlyList<DocumentPrompt> heldOut,
        IProgress<TuningProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        TuningClock clock = new(_options.TimeProvider, progress, TuningPhase.Measuring);
        LearnedImportance learned = new(profile.Predictors);
        int layers = _model.Shape.LayerCount;
        PlanBoundary[][][] plans =
        [
            .. _options.Schedules.Select(schedule =>
                (PlanBoundary[][])[.. schedule.Waypoints.Select((_, i) => PlanAt(schedule, i + 1, layers))]
            ),
        ];
        QualityCase[] cases =
        [
            .. plans.SelectMany(path =>
                path.Select(plan => new QualityCase(learned, PrefillPlan.FromBoundaries(plan)))
            ),
        ];
        using QualityEvaluator evaluator = new(
            _model,
            new QualityEvaluatorOptions
            {
                AnswerTokens = 16,
                SummaryTokens = _options.AnswerTokens,
                Threads = _options.Threads,
                FlashAttention = _options.FlashAttention,
                TimeProvider = _options.TimeProvider,
            }
        );
        Dictionary<PrefillPlan, QualitySample[]> samples = evaluator
            .Evaluate(
                heldOut,
                cases,
                onSample: null,
                new ActionProgress<QualityProgress>(quality => clock.Report(quality.Fraction)),
                cancellationToken
            )
            .GroupBy(sample => sample.GivenPlan!)
            .ToDictionary(group => group.Key, group => group.ToArray());

        List<PrefillSchedule> schedules = [];
        List<ProfileQuality> quality = [];
        for (int s = 0; s < plans.Length; s++)
        {
            double worst = 0;
            List<double> losses = [];
            foreach (PlanBoundary[] plan in plans[s])
            {
                QualitySample[] measured = samples[PrefillPlan.FromBoundaries(plan)];
                double kl = measured.Average(sample => sample.Kl);
                // keeping less cannot be better: where it seems so, too few prompts were asked
                worst = Math.Max(worst, kl);
                losses.Add(worst);
                quality.Add(
                    new ProfileQuality(
                        plan,
                        kl,
                        measured.Average(sample => sample.Agreement),
                        measured.Count(sample => sample.Answered == true),
                        measured.Count(sample => sample.AnsweredByFullPrefill == true),
                        measured.Average(sample => sample.KeptShare)
                    )
                );
            }

            schedules.Add(new PrefillSchedule(_options.Schedules[s].Depths, _options.Schedules[s].Waypoints, losses));
        }

        return profile with
        {
            Schedules = schedules,
            Quality = quality,
        };
    }

    private static PlanBoundary[] PlanAt(PrefillSchedule schedule, int waypoint, int layers)
    {
        PlanBoundary[] boundaries = new PlanBoundary[schedule.Depths.Count];
        return boundaries[..schedule.BoundariesAt(waypoint, layers, boundaries)];
    }

    private static double Correlation(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
    {
        double mx = TensorPrimitives.Sum(x) / x.Length;
        double my = TensorPrimitives.Sum(y) / y.Length;
        double xy = 0;
        double xx = 0;
        double yy = 0;
        for (int i = 0; i < x.Length; i++)
        {
            xy += (x[i] - mx) * (y[i] - my);
            xx += (x[i] - mx) * (x[i] - mx);
            yy += (y[i] - my) * (y[i] - my);
        }

        return xx > 0 && yy > 0 ? xy / Math.Sqrt(xx * yy) : 0;
    }

    // of everything that an example depends on
    private string ExampleKey(string fingerprint, ReadOnlySpan<int> tokens) =>
        TuningPrompts.KeyOf(
            string.Create(
                CultureInfo.InvariantCulture,
                $"1 {fingerprint} {Boundaries[^1]} {_options.AnswerTokens} [{string.Join(',', _residualBoundaries)}] {TuningPrompts.KeyOf(tokens)}"
            )
        );

    private sealed class ActionProgress<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }
}
