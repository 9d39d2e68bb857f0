using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Profiles;

namespace Foretoken.Sessions;

/// <summary>One sequence of tokens in a context of its own: its KV cache, and the logits behind its last token.</summary>
/// <remarks>
/// <para>Not thread-safe: one call at a time. <see cref="Dispose"/> is safe at any moment, and keeps the model alive until then.</para>
/// <para>
/// A prompt begins, in a conversation, with what the session holds already. <see cref="Prefill"/> therefore takes the whole
/// prompt and reuses the longest common prefix, under one condition: tokens that were thinned were chosen for the prompt
/// they stood in, so a thinned span is reused only by a prompt that contains that whole prompt as its beginning (the same
/// prompt again, or a later turn of the same conversation), and never by a request with a target of 1. Otherwise the
/// prefix is reused up to the thinned span and the rest computed. Prefill-only pruning
/// (<see cref="PrefillPlan.PrefillOnlyFrom"/>) thins a span in this sense, too.
/// </para>
/// <para>
/// What a sequence does without (<see cref="PrefillPlan.Skips"/>) stays the same until nothing of it is left: a prompt that
/// reuses a prefix goes on without the same, whatever its own plan says, and the report tells. A request with a target of 1
/// reuses nothing of such a sequence.
/// </para>
/// <para>A prefix is reused only with the LoRA adapters and scales that it was computed with.</para>
/// <para>
/// What was thinned can be completed later (<see cref="Complete"/>), between two output tokens or after the answer. A span that was
/// filled is reused by every prompt whose target is not 1, one that was completed exactly by every prompt.
/// </para>
/// <para>
/// Tokens of a thinned span that came back while an answer was decoded (<see cref="RestoredTokens"/>) stay for later turns. The
/// same prompt again is computed again where some came back, so that it finds what it found before.
/// </para>
/// </remarks>
public sealed class ForetokenSession : IDisposable
{
    private readonly SessionContext _context;
    private readonly SequenceState _sequence = new();
    private readonly HeldPositions _held;
    private readonly QuoteRestorer? _quotes;
    private readonly SequenceCompletion _completion;
    private readonly SessionCosts _costs;
    private readonly DecodeCost _decodeCost;
    private readonly PrefillPlannerOptions? _learnedOptions;

    internal ForetokenSession(ForetokenModel model, SessionOptions options)
        : this(model, SessionContext.Create(model, options, ContextSizeOf(model, options)), options) { }

    internal ForetokenSession(ForetokenModel model, nint llamaContext)
        : this(model, SessionContext.Attach(model, llamaContext), options: null) { }

    // without options: a context that somebody else created
    private ForetokenSession(ForetokenModel model, SessionContext context, SessionOptions? options)
    {
        Model = model;
        _context = context;
        // n_ctx is padded by llama.cpp; what was asked for is the limit that callers know
        ContextSize = options is null ? Info.ContextSize : Math.Min(ContextSizeOf(model, options), Info.ContextSize);
        _held = new HeldPositions(context, _sequence, model.Info.LayerCount);
        _completion = new SequenceCompletion(context, _sequence, _held, Rewind);
        _quotes = options is { RestoreQuotes: false } ? null : new QuoteRestorer(context, _sequence, _held);
        _costs = new SessionCosts(model, NotStagedReason is null ? model.GetCosts(options, Info.UBatchSize) : null);
        _decodeCost = model.GetDecodeCost(options?.KvCacheType ?? KvCacheType.F16);
        _learnedOptions = options is null ? null : model.Profile?.PlannerOptions;
    }

    /// <summary>The model that the session computes with.</summary>
    public ForetokenModel Model { get; }

    /// <summary>The context as it was created.</summary>
    public ContextInfo Info => _context.Info;

    /// <summary>Tokens that the session can hold.</summary>
    public int ContextSize { get; }

    /// <summary>Why prefill cannot be staged in this session; null when it can.</summary>
    public string? NotStagedReason => _context.NotStagedReason;

    /// <summary>The tokens of the sequence. The span is valid until the next call that changes the sequence.</summary>
    public ReadOnlySpan<int> Tokens => _sequence.Tokens;

    /// <summary>Tokens in the sequence.</summary>
    public int TokenCount => _sequence.Count;

    /// <summary>
    /// Whether some positions of the sequence are absent from upper layers, or have keys and values there of a residual stream
    /// that stopped below (<see cref="PrefillPlan.PrefillOnlyFrom"/>).
    /// </summary>
    public bool IsThinned => _sequence.IsThinned;

    /// <summary>
    /// Whether every layer holds what a full prefill and decode of the same tokens would have left there: nothing was thinned, or
    /// everything was completed with <see cref="CompletionGrade.Exact"/>.
    /// </summary>
    public bool IsExact => _sequence.IsExact;

    /// <summary>Bytes of stored residual streams (<see cref="PrefillRequest.ResidualStorage"/>), in host memory.</summary>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public long ResidualBytes => _context.ResidualBytes;

    /// <summary>
    /// Tokens of the prompt that upper layers had dropped and that were brought back since the last prefill, because the answer
    /// began to quote them (<see cref="SessionOptions.RestoreQuotes"/>).
    /// </summary>
    public int RestoredTokens => _quotes?.Tokens ?? 0;

    /// <summary>What bringing back <see cref="RestoredTokens"/> took, all together.</summary>
    public TimeSpan RestoreTime => _quotes?.Time ?? TimeSpan.Zero;

    /// <summary>
    /// What plans without LoRA adapters rest on at the moment: what was measured on this machine, where enough of it is known,
    /// otherwise counted operations. Prefills refine it, so it changes from call to call. The times of prefills with adapters are
    /// learned apart; until enough of them are known, their plans rest on this.
    /// </summary>
    internal PrefillCost Cost => _costs.Current;

    /// <summary>Bytes of keys and values in use, all layers.</summary>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public long KvBytes => _context.KvBytes;

    /// <summary>
    /// Makes the sequence equal to a prompt and computes the logits of its last token: reuses what the cache holds of it,
    /// and prefills the rest, stage by stage when a speedup is asked for.
    /// </summary>
    /// <param name="prompt">The whole prompt.</param>
    /// <param name="request">What is asked for; null for plain prefill.</param>
    /// <param name="progress">Receives the progress after each chunk, on the calling thread.</param>
    /// <param name="cancellationToken">Stops the prefill, at the latest after the running chunk's current operation.</param>
    /// <returns>What was promised and done.</returns>
    /// <remarks>After a failure or cancellation the sequence holds the reused prefix; the next call can succeed.</remarks>
    /// <exception cref="ArgumentException">The prompt is empty, or the request does not fit to it.</exception>
    /// <exception cref="ContextFullException">The prompt is longer than the context. Nothing was changed.</exception>
    /// <exception cref="ModelProfileException">The plan names an importance, or needs routers, that need a profile, or routers that were learned with other LoRA adapters. Nothing was changed.</exception>
    /// <exception cref="UnsupportedModelException">The plan is without sublayers, and the model's architecture has none that could be left out.</exception>
    /// <exception cref="PlanUnreachableException">The target is out of reach, and the request is strict. Nothing was changed.</exception>
    /// <exception cref="QualityLossUnknownException">A quality budget was given, no loss was measured, and the request is strict. Nothing was changed.</exception>
    /// <exception cref="OperationCanceledException">The prefill was cancelled.</exception>
    /// <exception cref="ComputeException">The computation failed.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public PrefillReport Prefill(
        ReadOnlySpan<int> prompt,
        PrefillRequest? request = null,
        IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        request ??= new PrefillRequest();
        if (prompt.IsEmpty)
        {
            throw new ArgumentException("A prompt has at least one token.", nameof(prompt));
        }
        if (prompt.Length > ContextSize)
        {
            throw new ContextFullException(prompt.Length, ContextSize);
        }
        if (!request.Origins.IsEmpty && request.Origins.Length != prompt.Length)
        {
            throw new ArgumentException(
                $"The request has {request.Origins.Length} origins for a prompt of {prompt.Length} tokens; it is one per token or none.",
                nameof(request)
            );
        }
        cancellationToken.ThrowIfCancellationRequested();

        ScaledAdapter[] adapters = LoraAdapter.Effective(request.Adapters, Model);
        int reused = ReusablePrefix(prompt, request);
        PrefillDecision decision = Decide(request, adapters, prompt.Length, reused);

        TimeProvider time = TimeProvider.System;
        TimeSpan cpuBefore = Environment.CpuUsage.TotalTime;
        long start = time.GetTimestamp();
        Truncate(reused);
        SetAdapters(adapters);
        NativePrefillReport native = _context.Prefill(
            decision,
            request.ResidualStorage,
            prompt[reused..],
            reused,
            progress,
            cancellationToken
        );
        TimeSpan elapsed = time.GetElapsedTime(start);
        double cpuShare = (Environment.CpuUsage.TotalTime - cpuBefore) / elapsed / Info.BatchThreads;

        _sequence.Append(prompt[reused..]);
        int computed = prompt.Length - reused;
        if (native.Stages.Any(stage => stage.NTokens < computed))
        {
            _sequence.AddSpan(reused, decision.Plan.PrefillOnlyFrom is null ? SpanState.Thinned : SpanState.Frozen);
        }
        _sequence.Skips = [.. native.Skips];
        _quotes?.Reset();

        PrefillTimeEstimate? plain = _costs.Learn(
            new PrefillMeasurement(native, decision, adapters, reused, computed, elapsed, cpuShare)
        );
        return new PrefillReport
        {
            TargetSpeedup = decision.Target,
            PromisedSpeedup = decision.PromisedSpeedup,
            TargetDecodeSpeedup = request.Speed.TargetDecodeSpeedup,
            PromisedDecodeSpeedup = decision.PromisedDecodeSpeedup,
            PromiseStandardError = decision.PromiseStandardError,
            ExpectedPrefillTime = decision.ExpectedTime,
            EstimatedPlainTime = plain,
            MaxQualityLoss = request.Speed.MaxQualityLoss,
            ExpectedQualityLoss = decision.ExpectedLoss,
            PromptTokens = prompt.Length,
            ReusedTokens = reused,
            Stages =
            [
                .. native.Stages.Select(stage => new PrefillStageReport(
                    stage.LayerBegin,
                    stage.LayerEnd,
                    stage.NTokens,
                    (double)stage.NTokens / computed,
                    stage.NChunks,
                    TimeSpan.FromMicroseconds(stage.Us),
                    stage.Bound
                )
                {
                    KeysAndValuesOnly = stage.KvOnly,
                    ChunkTimes = [.. stage.ChunkUs.Select(us => TimeSpan.FromMicroseconds(us))],
                }),
            ],
            TimeToFirstToken = elapsed,
            PrefillTime = elapsed,
            SelectTime = TimeSpan.FromMicroseconds(native.SelectUs),
            KvBytes = KvBytes,
            Importance = decision.Plan.IsKeepAll ? null : decision.Importance.Name,
            Plan = decision.Plan.IsKeepAll ? null : decision.Plan,
            Skips = _sequence.Skips,
            PrefillOnlySaving = decision.PrefillOnlySaving,
            Adapters = [.. adapters.Select(adapter => new AdapterReport(adapter.Adapter.Name, adapter.Scale))],
            Reason = decision.Reason,
        };
    }

    /// <summary>
    /// Measures what prefills take on this machine with this session's settings: runs short prefills of several lengths and plans
    /// until the budget is used, and fits a cost profile to their times, which replaces what was known before. All sessions of
    /// the model with the same settings use it from then on, and it is cached for later processes.
    /// </summary>
    /// <param name="options">How long it may take; null for the defaults.</param>
    /// <param name="progress">Receives the share of the budget that is used, 0 to 1, on the calling thread.</param>
    /// <param name="cancellationToken">Ends it early; what was measured until then is learned.</param>
    /// <returns>What was measured.</returns>
    /// <remarks>The sequence is empty afterwards, however it ends. Other work on the machine disturbs it.</remarks>
    /// <exception cref="InvalidOperationException">The model was loaded without cost profiles (<see cref="ModelOptions.UseMeasuredCosts"/>).</exception>
    /// <exception cref="UnsupportedModelException">The prefill of this session cannot be staged, so there is nothing to plan.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ComputeException">A computation failed.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public CalibrationResult Calibrate(
        CalibrationOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        if (NotStagedReason is { } reason)
        {
            throw new UnsupportedModelException($"There is nothing to calibrate: {reason}.");
        }
        if (_costs.Measured is not { } costs)
        {
            throw new InvalidOperationException(
                "The model was loaded with UseMeasuredCosts = false, so nothing measured would be used. Load it with cost profiles to calibrate."
            );
        }
        List<PrefillRun> runs = _costs.Calibration = [];
        try
        {
            Clear();
            Calibration calibration = new(this, _learnedOptions ?? new PrefillPlannerOptions(), runs);
            TimeSpan elapsed = calibration.Run(options ?? new CalibrationOptions(), progress, cancellationToken);
            bool isEnough = costs.Replace(runs);
            return new CalibrationResult(elapsed, runs.Count, costs.Path) { Costs = isEnough ? costs.Profile : null };
        }
        catch (OperationCanceledException)
        {
            runs.ForEach(costs.Observe);
            throw;
        }
        finally
        {
            _costs.Calibration = null;
            Clear();
        }
    }

    /// <summary>What went wrong with the cached cost profile since the last call, for people; null when nothing did.</summary>
    internal string? TakeCostProblem() => _costs.TakeProblem();

    /// <summary>Whether times would be used, and too few are known.</summary>
    internal bool NeedsCalibration => _costs.Measured is { Profile: null };

    /// <summary>
    /// Appends a token to the sequence and computes its logits. Where the token makes the answer quote a passage of the prompt that
    /// upper layers dropped, the passage is brought back first (<see cref="SessionOptions.RestoreQuotes"/>).
    /// </summary>
    /// <param name="token">The token, as <see cref="Sample"/> returned it.</param>
    /// <param name="cancellationToken">Stops the computation; the sequence is then as it was.</param>
    /// <exception cref="ContextFullException">There is no room. Nothing was changed.</exception>
    /// <exception cref="OperationCanceledException">The computation was cancelled.</exception>
    /// <exception cref="ComputeException">
    /// The computation failed; the sequence is as it was, or ends in front of the passage that was being brought back.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void Decode(int token, CancellationToken cancellationToken = default)
    {
        if (IsThinned && TokenCount < ContextSize)
        {
            _quotes?.RestoreQuoted(token, Rewind, cancellationToken);
        }
        Decode([token], cancellationToken);
    }

    /// <summary>Appends tokens to the sequence and computes the logits of the last one, without staging.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="cancellationToken">Stops the computation; the sequence is then as it was.</param>
    /// <exception cref="ContextFullException">There is no room. Nothing was changed.</exception>
    /// <exception cref="OperationCanceledException">The computation was cancelled.</exception>
    /// <exception cref="ComputeException">The computation failed; the sequence is as it was.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void Decode(ReadOnlySpan<int> tokens, CancellationToken cancellationToken = default)
    {
        if (tokens.IsEmpty)
        {
            throw new ArgumentException("There is at least one token to decode.", nameof(tokens));
        }
        if (TokenCount + tokens.Length > ContextSize)
        {
            throw new ContextFullException(TokenCount + tokens.Length, ContextSize);
        }
        _context.Decode(tokens, cancellationToken);
        _sequence.Append(tokens);
    }

    /// <summary>
    /// Completes upper layers of what was thinned, front to back: runs some of the tokens that are left, and returns. Call it
    /// again until nothing remains; between two calls the sequence can be decoded, rewound, saved, and prefilled.
    /// </summary>
    /// <param name="grade">How.</param>
    /// <param name="maxTokens">Tokens that run at most, and never more than an ubatch.</param>
    /// <param name="cancellationToken">Looked at before anything runs.</param>
    /// <returns>What ran, and what remains.</returns>
    /// <remarks>
    /// <para>
    /// Tokens start from their residual stream in front of the layers that lack tokens where it was stored
    /// (<see cref="PrefillRequest.ResidualStorage"/>), otherwise from the first layer. There are no logits afterwards until the next
    /// decode or prefill: complete between sampling a token and decoding it.
    /// </para>
    /// <para>
    /// <see cref="CompletionGrade.Exact"/> goes on through the answer to the end of the sequence. A conversation that is complete is an
    /// ordinary one: any prompt can begin with any part of it, also one with a target of 1. One that is filled serves any prompt with
    /// another target.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxTokens"/> is not positive, or there is no such grade.</exception>
    /// <exception cref="OperationCanceledException">Cancelled before anything ran.</exception>
    /// <exception cref="ContextFullException">The KV cache has no room. Nothing was changed.</exception>
    /// <exception cref="ComputeException">The computation failed: upper layers lack what was to be completed, or the sequence ends in front of it.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public CompletionStep Complete(
        CompletionGrade grade,
        int maxTokens = int.MaxValue,
        CancellationToken cancellationToken = default
    )
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxTokens);
        OptionCheck.Defined(grade, nameof(grade));
        cancellationToken.ThrowIfCancellationRequested();
        return _completion.Run(grade, maxTokens, cancellationToken);
    }

    /// <summary>Tokens that <see cref="Complete"/> would have to run until the sequence is complete.</summary>
    /// <param name="grade">How.</param>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public int CountRemaining(CompletionGrade grade)
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        return _completion.CountRemaining(grade);
    }

    /// <summary>Chooses the next token from the logits. It is not yet part of the sequence: <see cref="Decode(int, CancellationToken)"/> appends it.</summary>
    /// <param name="sampler">The sampler, made from this session's model.</param>
    /// <returns>The token.</returns>
    /// <exception cref="InvalidOperationException">There are no logits: nothing was computed since the session was created, rewound or loaded.</exception>
    /// <exception cref="ObjectDisposedException">The session or the sampler is disposed.</exception>
    public int Sample(Sampler sampler)
    {
        ArgumentNullException.ThrowIfNull(sampler);
        RequireLogits();
        return _context.Sample(sampler);
    }

    /// <summary>The logits behind the last token: one number per token of the vocabulary.</summary>
    /// <exception cref="InvalidOperationException">There are no logits.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public float[] GetLogits()
    {
        RequireLogits();
        return _context.Logits(Model.Info.VocabularySize);
    }

    /// <summary>The positions that a layer's KV cache holds, ascending.</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public int[] GetPositions(int layer)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Model.Info.LayerCount);
        return _context.Positions(layer, TokenCount);
    }

    /// <summary>Removes all tokens from an index on. There are no logits afterwards.</summary>
    /// <param name="tokenCount">Tokens that stay.</param>
    /// <remarks>A thinned span that is cut is not reused by later prompts.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or more than there are.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void Rewind(int tokenCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokenCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokenCount, TokenCount);
        Truncate(tokenCount);
        _sequence.Cut(tokenCount);
    }

    /// <summary>Removes all tokens.</summary>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void Clear() => Truncate(0);

    /// <summary>The state of the session: tokens, KV cache, what was dropped.</summary>
    /// <returns>Bytes for <see cref="LoadState"/>, of a session on the same model with the same build.</returns>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public byte[] SaveState() => SavedSequence.Write(_sequence, _context.SaveState());

    /// <summary>Replaces the sequence by a saved one. There are no logits until the next prefill or decode.</summary>
    /// <param name="state">What <see cref="SaveState"/> returned.</param>
    /// <param name="adapters">The LoRA adapters that it was computed with; null for none.</param>
    /// <exception cref="ArgumentException">An adapter is of another model, or named twice.</exception>
    /// <exception cref="StateMismatchException">The state belongs to another model, context or build, was computed with other adapters, or is damaged. The sequence is empty afterwards.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void LoadState(ReadOnlySpan<byte> state, IReadOnlyList<ScaledAdapter>? adapters = null)
    {
        ScaledAdapter[] effective = LoraAdapter.Effective(adapters ?? [], Model);
        Clear();
        SavedSequence saved = SavedSequence.Read(state, effective, ContextSize);
        SetAdapters(effective);
        _context.LoadState(state[saved.NativeStart..]);
        _sequence.Load(saved);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_context.IsClosed)
        {
            _costs.Flush();
        }
        _context.Dispose();
    }

    /// <summary>Leading tokens of <paramref name="prompt"/> whose cache entries can serve it; at least the last token is computed.</summary>
    internal int ReusablePrefix(ReadOnlySpan<int> prompt, PrefillRequest request)
    {
        bool exact = request.Speed.Plan?.IsKeepAll ?? request.Speed.KeepsAll;
        ScaledAdapter[] adapters = LoraAdapter.Effective(request.Adapters, Model);
        return (exact && _sequence.Skips.Count > 0) || !adapters.AsSpan().SequenceEqual(_sequence.Adapters)
            ? 0
            : _sequence.ReusablePrefix(prompt, exact);
    }

    /// <summary>As <see cref="Complete"/>, an ubatch, with another number of threads; 0: as many as prefill.</summary>
    internal CompletionStep CompleteWithThreads(CompletionGrade grade, int threads, CancellationToken cancellationToken)
    {
        if (threads == 0)
        {
            return Complete(grade, int.MaxValue, cancellationToken);
        }
        _context.SetBatchThreads(threads);
        try
        {
            return Complete(grade, int.MaxValue, cancellationToken);
        }
        finally
        {
            _context.SetBatchThreads(0);
        }
    }

    private void Truncate(int tokenCount)
    {
        _held.Invalidate();
        if (tokenCount == 0 || tokenCount < TokenCount)
        {
            _context.RemoveFrom(tokenCount);
        }
        _context.DropLogits();
        _sequence.Truncate(tokenCount);
    }

    private void SetAdapters(ScaledAdapter[] adapters)
    {
        if (!adapters.AsSpan().SequenceEqual(_sequence.Adapters))
        {
            _context.SetAdapters(adapters);
            _sequence.Adapters = adapters;
        }
    }

    private PrefillDecision Decide(PrefillRequest request, ScaledAdapter[] adapters, int promptLength, int reused)
    {
        PrefillPlanner planner = new(_costs.With(adapters), decodeCost: _decodeCost);
        ProfileAdapter[] known = ScaledAdapter.ToProfile(adapters);
        PrefillPlannerOptions? learned = known.Length == 0 ? _learnedOptions : Model.Profile?.GetPlannerOptions(known);
        return PrefillDecision.Make(
            planner,
            learned is null ? planner : new PrefillPlanner(planner.CostModel, learned, _decodeCost),
            Model.Profile,
            request,
            NotStagedReason,
            promptLength,
            reused,
            reused > 0 ? _sequence.Skips : null,
            Model.Profile?.FindSkipMismatch(known)
        );
    }

    private void RequireLogits()
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        if (!_context.HasLogits)
        {
            throw new InvalidOperationException(
                "There are no logits to read: prefill or decode first. Rewinding, clearing and loading a state drop them."
            );
        }
    }

    private static int ContextSizeOf(ForetokenModel model, SessionOptions options) =>
        options.ContextSize > 0 ? options.ContextSize : Math.Min(model.Info.TrainingContextSize, 8192);
}
