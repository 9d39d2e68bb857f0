using System.Globalization;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tuning.Quality;

/// <summary>Measures what thinning costs in quality, and what it gains in time, with the real model and the real engine.</summary>
/// <remarks>
/// <para>
/// Every prompt is prefilled in full first and answered greedily; the logits behind each token of that answer are kept. Then,
/// for every case, the same prompt is prefilled thinned, the full model's answer is forced token by token, and the
/// next-token distributions are compared: KL(full || thinned) and whether the most likely token is the same, at the same
/// tokens of context for both. Of a retrieval that full prefill answers, the greedy answer behind the thinned prefill is
/// judged too.
/// </para>
/// <para>
/// Speed is the time of our own full prefill divided by that of the thinned one, of the same prompt in the same run; the times
/// of the forced tokens are compared likewise. For a comparison with unpatched llama.cpp there is <c>foretoken bench</c>.
/// </para>
/// <para>Not thread-safe; it computes on the calling thread.</para>
/// </remarks>
internal sealed class QualityEvaluator : IDisposable
{
    private readonly ForetokenModel _model;
    private readonly QualityEvaluatorOptions _options;
    private readonly PromptRenderer _renderer;
    private readonly CountedPrefillCost _cost;

    /// <summary>Creates an evaluator on a loaded model, which stays the caller's to dispose.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    /// <exception cref="ChatTemplateException">The model has no usable chat template.</exception>
    public QualityEvaluator(ForetokenModel model, QualityEvaluatorOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        _model = model;
        _options = options ?? new QualityEvaluatorOptions();
        _renderer = new PromptRenderer(model);
        _cost = new CountedPrefillCost(model.Shape);
    }

    /// <summary>Evaluates every case on every prompt.</summary>
    /// <param name="prompts">The prompts.</param>
    /// <param name="cases">The ways of thinning.</param>
    /// <param name="onSample">
    /// Receives each sample as soon as it is measured, on the calling thread, so that a run that is cancelled has something to
    /// show; <see langword="null"/> for none.
    /// </param>
    /// <param name="progress">Receives the progress, on the calling thread.</param>
    /// <param name="cancellationToken">Stops the evaluation.</param>
    /// <returns>One sample per prompt and case, prompt by prompt.</returns>
    /// <exception cref="ArgumentException">There are no prompts or no cases.</exception>
    /// <exception cref="ContextFullException">A prompt and its answer do not fit into the model's context.</exception>
    /// <exception cref="UnsupportedModelException">The model's prefill cannot be staged.</exception>
    /// <exception cref="OperationCanceledException">The evaluation was cancelled.</exception>
    public IReadOnlyList<QualitySample> Evaluate(
        IReadOnlyList<DocumentPrompt> prompts,
        IReadOnlyList<QualityCase> cases,
        Action<QualitySample>? onSample = null,
        IProgress<QualityProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(cases);
        if (prompts.Count == 0 || cases.Count == 0)
        {
            throw new ArgumentException("An evaluation needs at least one prompt and one way of thinning.");
        }

        RenderedPrompt[] rendered = [.. prompts.Select(_renderer.Render)];
        using ForetokenSession session = _model.CreateSession(
            new SessionOptions
            {
                ContextSize = ContextSize(prompts, rendered),
                Threads = _options.Threads,
                UBatchSize = _options.UBatchSize,
                KvCacheType = _options.KvCacheType,
                FlashAttention = _options.FlashAttention,
                RestoreQuotes = _options.RestoreQuotes,
                Staged = true,
            }
        );

        Work work = new(this, prompts.Count, cases, rendered, progress);
        WarmUp(session, rendered[0], cases[0], cancellationToken);
        work.Begin();
        List<QualitySample> samples = [];
        for (int i = 0; i < prompts.Count; i++)
        {
            FullAnswer full = Answer(session, prompts[i], rendered[i], cancellationToken);
            work.Done(i, rendered[i], null);
            foreach (QualityCase one in cases)
            {
                QualitySample sample = Measure(session, prompts[i], rendered[i], full, one, cancellationToken);
                samples.Add(sample);
                onSample?.Invoke(sample);
                work.Done(i, rendered[i], one);
            }

            work.PromptDone(i + 1);
        }

        return samples;
    }

    /// <inheritdoc/>
    public void Dispose() => _renderer.Dispose();

    private int TokensOf(DocumentPrompt prompt) =>
        prompt.Kind == PromptKind.Retrieval ? _options.AnswerTokens : _options.SummaryTokens;

    private int ContextSize(IReadOnlyList<DocumentPrompt> prompts, RenderedPrompt[] rendered)
    {
        int size = 0;
        for (int i = 0; i < rendered.Length; i++)
        {
            int needed = rendered[i].Tokens.Length + TokensOf(prompts[i]);
            if (needed > _model.Info.TrainingContextSize)
            {
                throw new ContextFullException(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"The prompt '{prompts[i].Id}' and its answer have {needed} tokens; this model reads at most {_model.Info.TrainingContextSize}. Leave the prompt out or shorten its document."
                    )
                );
            }

            size = Math.Max(size, needed);
        }

        return size;
    }

    // the first runs allocate and read the weights: they are no measurement
    private void WarmUp(
        ForetokenSession session,
        RenderedPrompt prompt,
        QualityCase one,
        CancellationToken cancellationToken
    )
    {
        Prefill(session, prompt, one, cancellationToken);
        Prefill(session, prompt, null, cancellationToken);
    }

    /// <summary>Prefills a prompt from an empty cache; the case is null for full prefill. The report is of the tokens that may be thinned.</summary>
    private PrefillReport Prefill(
        ForetokenSession session,
        RenderedPrompt prompt,
        QualityCase? one,
        CancellationToken cancellationToken
    )
    {
        PrefillRequest request = new()
        {
            Origins = prompt.Origins,
            Adapters = one is null && _options.FullWithoutAdapters ? [] : _options.Adapters,
        };
        if (one is null)
        {
            request.Plan = PrefillPlan.KeepAll;
        }
        else
        {
            request.Importance = one.Importance;
            request.Plan = one.Plan;
            request.TargetTtftSpeedup = one.Target ?? 1;
            request.UseThresholds = one.UseThresholds;
            request.ResidualStorage = _options.Completion?.Storage ?? ResidualStorage.None;
        }

        session.Clear();
        PrefillReport report = session.Prefill(
            prompt.Tokens.AsSpan(0, prompt.ThinnedTokens),
            request,
            progress: null,
            cancellationToken
        );
        if (prompt.ThinnedTokens < prompt.Tokens.Length)
        {
            // a first answer has gone by, or the time that a reader takes
            while (
                one is not null
                && _options.Completion is { } completion
                && session.Complete(completion.Grade, cancellationToken: cancellationToken).Remaining > 0
            ) { }
            session.Decode(prompt.Tokens.AsSpan(prompt.ThinnedTokens), cancellationToken);
        }

        return report;
    }

    private FullAnswer Answer(
        ForetokenSession session,
        DocumentPrompt prompt,
        RenderedPrompt rendered,
        CancellationToken cancellationToken
    )
    {
        PrefillReport report = Prefill(session, rendered, null, cancellationToken);
        ForcedAnswer answer = ForcedAnswer.Record(
            _model,
            session,
            TokensOf(prompt),
            _options.TimeProvider,
            cancellationToken
        );
        string text = prompt.AnswerStart + _model.Detokenize([.. answer.Tokens]);
        return new FullAnswer(
            report.PrefillTime,
            answer,
            text,
            prompt.Expected.Count == 0 ? null : prompt.IsAnsweredBy(text)
        );
    }

    private QualitySample Measure(
        ForetokenSession session,
        DocumentPrompt prompt,
        RenderedPrompt rendered,
        FullAnswer full,
        QualityCase one,
        CancellationToken cancellationToken
    )
    {
        PrefillReport report = Prefill(session, rendered, one, cancellationToken);
        ForcedComparison comparison = full.Forced.Compare(
            session,
            Complete(session),
            _options.TimeProvider,
            cancellationToken
        );
        string? answer =
            full.IsAnswer == true ? Greedy(session, prompt, rendered, full, one, comparison, cancellationToken) : null;
        PrefillPlan plan = report.Plan ?? PrefillPlan.KeepAll;
        return new QualitySample
        {
            Prompt = prompt.Id,
            Kind = prompt.KindName,
            Length = prompt.Length ?? 0,
            PromptTokens = rendered.Tokens.Length,
            ThinnedTokens = rendered.ThinnedTokens,
            Facts = [.. prompt.Facts.OrderByDescending(fact => fact.IsAsked).Select(fact => fact.Kind)],
            Importance = one.Name,
            Target = one.Target ?? report.PromisedSpeedup,
            GivenPlan = one.Plan,
            Plan = plan,
            PromisedSpeedup = report.PromisedSpeedup,
            FullPrefillMs = full.PrefillTime.TotalMilliseconds,
            PrefillMs = report.PrefillTime.TotalMilliseconds,
            FullDecodeMs = full.Forced.DecodeMs,
            DecodeMs = comparison.DecodeMs,
            KeptShare = KeptShare(report),
            ForcedTokens = full.Forced.Tokens.Count,
            Kl = comparison.Kl,
            KlOfFirst = comparison.KlOfFirst,
            FullArrivalsMs = Behind(full.PrefillTime, full.Forced.ArrivalsMs),
            ArrivalsMs = Behind(report.PrefillTime, comparison.ArrivalsMs),
            Completion = comparison.Completion,
            Agreement = comparison.Agreement,
            RestoredTokens = comparison.RestoredTokens,
            AnsweredByFullPrefill = full.IsAnswer,
            Answered = answer is null ? null : prompt.IsAnsweredBy(answer),
            FullAnswer = full.Text,
            Answer = answer,
        };
    }

    private AnswerCompletion? Complete(ForetokenSession session) =>
        _options.Completion is { } completion ? new AnswerCompletion(completion, session, _options.TimeProvider) : null;

    /// <summary>The thinned model's own answer: the full model's up to where they part, and from there on greedily.</summary>
    private string Greedy(
        ForetokenSession session,
        DocumentPrompt prompt,
        RenderedPrompt rendered,
        FullAnswer full,
        QualityCase one,
        ForcedComparison comparison,
        CancellationToken cancellationToken
    )
    {
        if (comparison.Parting < 0)
        {
            return full.Text;
        }

        List<int> tokens = [.. full.Forced.Tokens.Take(comparison.Parting), comparison.Chosen];
        AnswerCompletion? completion = null;
        if (comparison.RestoredTokens == comparison.RestoredAtParting && _options.Completion is null)
        {
            session.Rewind(rendered.Tokens.Length + comparison.Parting);
        }
        else
        {
            // the rest of the full model's answer has brought back what the thinned model might never have quoted
            Prefill(session, rendered, one, cancellationToken);
            completion = Complete(session);
            for (int i = 0; i < comparison.Parting; i++)
            {
                completion?.Continue(i + 1, cancellationToken);
                session.Decode(full.Forced.Tokens[i], cancellationToken);
            }
        }

        while (true)
        {
            string text = prompt.AnswerStart + _model.Detokenize([.. tokens]);
            if (
                tokens.Count == _options.AnswerTokens
                || _model.IsEndOfGeneration(tokens[^1])
                || IsSettled(prompt, text)
            )
            {
                return text;
            }

            completion?.Continue(tokens.Count, cancellationToken);
            session.Decode(tokens[^1], cancellationToken);
            tokens.Add(LogitComparison.ArgMax(session.GetLogits()));
        }
    }

    // a number may still grow a digit and be another one
    private static bool IsSettled(DocumentPrompt prompt, string text) =>
        prompt.IsAnsweredBy(text) && !char.IsAsciiDigit(text[^1]);

    private static double[] Behind(TimeSpan prefill, IReadOnlyList<double> arrivals) =>
        [.. arrivals.Select(arrival => prefill.TotalMilliseconds + arrival)];

    private double KeptShare(PrefillReport report)
    {
        double kept = 0;
        foreach (PrefillStageReport stage in report.Stages)
        {
            int skipped = report.Skips.Count(skip =>
                skip.Part == LayerPart.Block && skip.Layer >= stage.LayerBegin && skip.Layer < stage.LayerEnd
            );
            kept += (stage.KeysAndValuesOnly ? 0.0 : stage.Tokens) * (stage.LayerEnd - stage.LayerBegin - skipped);
        }

        return kept / ((double)report.NewTokens * _model.Info.LayerCount);
    }

    private sealed record FullAnswer(TimeSpan PrefillTime, ForcedAnswer Forced, string Text, bool? IsAnswer);

    /// <summary>Counts the work in tokens of full prefill, and estimates the time left from it.</summary>
    private sealed class Work
    {
        // a decoded token costs about as much as this many tokens of a prefill, which share each reading of the weights
        private const double TokensPerDecode = 4;

        private readonly QualityEvaluator _evaluator;
        private readonly IProgress<QualityProgress>? _progress;
        private readonly int _prompts;
        private readonly double _total;
        private long _start;
        private double _done;

        internal Work(
            QualityEvaluator evaluator,
            int prompts,
            IReadOnlyList<QualityCase> cases,
            RenderedPrompt[] rendered,
            IProgress<QualityProgress>? progress
        )
        {
            _evaluator = evaluator;
            _prompts = prompts;
            _progress = progress;
            _total = rendered.Sum(prompt => Cost(prompt, null) + cases.Sum(one => Cost(prompt, one)));
        }

        internal void Begin() => _start = _evaluator._options.TimeProvider.GetTimestamp();

        internal void Done(int promptsDone, RenderedPrompt prompt, QualityCase? one)
        {
            _done += Cost(prompt, one);
            Report(promptsDone);
        }

        internal void PromptDone(int promptsDone) => Report(promptsDone);

        private void Report(int promptsDone)
        {
            if (_progress is null)
            {
                return;
            }

            TimeSpan elapsed = _evaluator._options.TimeProvider.GetElapsedTime(_start);
            double fraction = Math.Min(1, _done / _total);
            _progress.Report(
                new QualityProgress(
                    promptsDone,
                    _prompts,
                    fraction,
                    elapsed,
                    fraction > 0 ? elapsed * ((1 - fraction) / fraction) : null
                )
            );
        }

        private double Cost(RenderedPrompt prompt, QualityCase? one)
        {
            double speedup = one switch
            {
                null => 1,
                { Plan: { } plan } => _evaluator._cost.Speedup(plan, prompt.ThinnedTokens, 0, 0),
                _ => one.Target!.Value,
            };
            return (prompt.ThinnedTokens / speedup)
                + (prompt.Tokens.Length - prompt.ThinnedTokens)
                + (TokensPerDecode * _evaluator._options.AnswerTokens);
        }
    }
}
