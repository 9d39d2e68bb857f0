using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Interop;
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
    private const int Sequence = 0;
    private const uint StateMagic = 0x534B5446; // "FTKS"

    // SHA-256 and scale
    private const int IdentityLength = 9;
    private const int StateVersion = 5;

    // a passage is brought back when one of so many tokens that may be quoted next is missing
    private const int RestoreWithin = 4;

    private readonly ComputeGate _gate;
    private readonly SafeContextHandle _context;
    private readonly SafeCancelHandle _cancel;
    private readonly List<int> _tokens = [];

    // spans of _tokens that were thinned, ascending; Prompt is the length of the prompt they were thinned for
    private readonly List<ThinnedSpan> _thinned = [];

    // in front of this, every layer holds what a full prefill would have left there, although spans behind it start below
    private int _exactFront;

    // tokens from here on were computed while upper layers lacked some in front of them, and are not part of a span
    private int _derivedFrom = int.MaxValue;

    // in front of this, no layer lacks a token of a span
    private int _filledFront;
    private LayerSkip[] _skips = [];

    // what _tokens were computed with; set in the context
    private ScaledAdapter[] _adapters = [];

    // every adapter that was set once: the context keeps them until it is freed
    private readonly HashSet<LoraAdapter> _keptAdapters = [];
    private readonly PrefillPlannerOptions? _learnedOptions;
    private readonly CostTracker? _costs;

    // by the adapters that were computed with
    private readonly Dictionary<string, CostTracker> _adapterCosts = new(StringComparer.Ordinal);
    private readonly CountedPrefillCost _counted;
    private readonly DecodeCost _decodeCost;
    private List<PrefillRun>? _calibration;
    private readonly bool _restoresQuotes = true;

    // positions that every layer with attention holds; null until it is asked for, and when the sequence was changed
    private bool[]? _heldByAll;
    private bool _hasLogits;

    internal ForetokenSession(ForetokenModel model, SessionOptions options)
    {
        Model = model;
        _restoresQuotes = options.RestoreQuotes;
        _counted = new CountedPrefillCost(model.Shape);
        _decodeCost = model.GetDecodeCost(options.KvCacheType);
        _learnedOptions = model.Profile?.PlannerOptions;
        int contextSize =
            options.ContextSize > 0 ? options.ContextSize : Math.Min(model.Info.TrainingContextSize, 8192);
        SafeModelHandle modelHandle = model.Handle;
        _gate = modelHandle.Gate;
        using ComputeGate.Computation reserving = _gate.Enter();
        int status = NativeMethods.ftk_context_create(
            modelHandle,
            NativeConfig.Context(options, contextSize, options.Staged ?? true),
            out _context
        );
        if (status == (int)NativeStatus.Unsupported && options.Staged is null)
        {
            NotStagedReason = NativeCall.LastError();
            _context.Dispose();
            status = NativeMethods.ftk_context_create(
                modelHandle,
                NativeConfig.Context(options, contextSize, staged: false),
                out _context
            );
        }
        (Info, _cancel) = Open(_context, status, modelHandle);
        if (options.Staged == false)
        {
            NotStagedReason = "the session was created without staging";
        }
        // n_ctx is padded by llama.cpp; what was asked for is the limit that callers know
        ContextSize = Math.Min(contextSize, Info.ContextSize);
        if (NotStagedReason is null)
        {
            _costs = model.GetCosts(options, Info.UBatchSize);
        }
    }

    internal ForetokenSession(ForetokenModel model, nint llamaContext)
    {
        Model = model;
        _counted = new CountedPrefillCost(model.Shape);
        _decodeCost = model.GetDecodeCost(KvCacheType.F16);
        SafeModelHandle modelHandle = model.Handle;
        _gate = modelHandle.Gate;
        int status = NativeMethods.ftk_context_attach(llamaContext, out _context);
        (Info, _cancel) = Open(_context, status, modelHandle);
        ContextSize = Info.ContextSize;
        _costs = model.GetCosts(session: null, Info.UBatchSize);
    }

    /// <summary>The model that the session computes with.</summary>
    public ForetokenModel Model { get; }

    /// <summary>The context as it was created.</summary>
    public ContextInfo Info { get; }

    /// <summary>Tokens that the session can hold.</summary>
    public int ContextSize { get; }

    /// <summary>Why prefill cannot be staged in this session; null when it can.</summary>
    public string? NotStagedReason { get; }

    /// <summary>The tokens of the sequence. The span is valid until the next call that changes the sequence.</summary>
    public ReadOnlySpan<int> Tokens => CollectionsMarshal.AsSpan(_tokens);

    /// <summary>Tokens in the sequence.</summary>
    public int TokenCount => _tokens.Count;

    /// <summary>
    /// Whether some positions of the sequence are absent from upper layers, or have keys and values there of a residual stream
    /// that stopped below (<see cref="PrefillPlan.PrefillOnlyFrom"/>).
    /// </summary>
    public bool IsThinned => _thinned.Exists(span => span.State != SpanState.Filled);

    /// <summary>
    /// Whether every layer holds what a full prefill and decode of the same tokens would have left there: nothing was thinned, or
    /// everything was completed with <see cref="CompletionGrade.Exact"/>.
    /// </summary>
    public bool IsExact => _thinned.Count == 0 && _derivedFrom >= _tokens.Count;

    /// <summary>Bytes of stored residual streams (<see cref="PrefillRequest.ResidualStorage"/>), in host memory.</summary>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public long ResidualBytes
    {
        get
        {
            NativeCall.Check(NativeMethods.ftk_seq_store_bytes(_context, Sequence, out long bytes));
            return bytes;
        }
    }

    /// <summary>
    /// Tokens of the prompt that upper layers had dropped and that were brought back since the last prefill, because the answer
    /// began to quote them (<see cref="SessionOptions.RestoreQuotes"/>).
    /// </summary>
    public int RestoredTokens { get; private set; }

    /// <summary>What bringing back <see cref="RestoredTokens"/> took, all together.</summary>
    public TimeSpan RestoreTime { get; private set; }

    /// <summary>
    /// What plans without LoRA adapters rest on at the moment: what was measured on this machine, where enough of it is known,
    /// otherwise counted operations. Prefills refine it, so it changes from call to call. The times of prefills with adapters are
    /// learned apart; until enough of them are known, their plans rest on this.
    /// </summary>
    public PrefillCost Cost => _costs?.Cost ?? _counted;

    /// <summary>Bytes of keys and values in use, all layers.</summary>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public long KvBytes
    {
        get
        {
            NativeCall.Check(NativeMethods.ftk_seq_kv_bytes(_context, Sequence, out long bytes));
            return bytes;
        }
    }

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

        ScaledAdapter[] adapters = Usable(request.Adapters);
        int reused = ReusablePrefix(prompt, request);
        PrefillDecision decision = Decide(request, adapters, prompt.Length, reused);

        TimeProvider time = TimeProvider.System;
        TimeSpan cpuBefore = Environment.CpuUsage.TotalTime;
        long start = time.GetTimestamp();
        Truncate(reused);
        SetAdapters(adapters);
        NativePrefillReport native;
        using (_gate.Enter(cancellationToken))
        {
            native = NotStagedReason is not null
                ? StockPrefill(prompt[reused..], progress, cancellationToken)
                : StagedPrefill.Run(
                    _context,
                    _cancel,
                    decision,
                    request.ResidualStorage,
                    prompt[reused..],
                    reused,
                    progress,
                    cancellationToken
                );
        }
        TimeSpan elapsed = time.GetElapsedTime(start);
        double cpuShare = (Environment.CpuUsage.TotalTime - cpuBefore) / elapsed / Info.BatchThreads;

        Derive();
        _tokens.AddRange(prompt[reused..]);
        _hasLogits = true;
        int computed = prompt.Length - reused;
        if (native.Stages.Any(stage => stage.NTokens < computed))
        {
            _thinned.Add(
                new ThinnedSpan(
                    reused,
                    prompt.Length,
                    HasRestored: false,
                    decision.Plan.PrefillOnlyFrom is null ? SpanState.Thinned : SpanState.Frozen
                )
            );
        }
        _skips = [.. native.Skips];
        RestoredTokens = 0;
        RestoreTime = TimeSpan.Zero;

        PrefillTimeEstimate? plain = Learn(native, decision, reused, computed, elapsed, cpuShare);
        return new PrefillReport
        {
            TargetSpeedup = decision.Target,
            PromisedSpeedup = decision.PromisedSpeedup,
            TargetDecodeSpeedup = request.TargetDecodeSpeedup,
            PromisedDecodeSpeedup = decision.PromisedDecodeSpeedup,
            PromiseStandardError = decision.PromiseStandardError,
            ExpectedPrefillTime = decision.ExpectedTime,
            EstimatedPlainTime = plain,
            MaxQualityLoss = request.MaxQualityLoss,
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
            Skips = _skips,
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
        if (_costs is not { } costs)
        {
            throw new InvalidOperationException(
                "The model was loaded with UseMeasuredCosts = false, so nothing measured would be used. Load it with cost profiles to calibrate."
            );
        }
        List<PrefillRun> runs = _calibration = [];
        try
        {
            Clear();
            Calibration calibration = new(this, _learnedOptions ?? new PrefillPlannerOptions(), runs);
            TimeSpan elapsed = calibration.Run(options ?? new CalibrationOptions(), progress, cancellationToken);
            bool isEnough = costs.Replace(runs);
            return new CalibrationResult(isEnough ? costs.Profile : null, elapsed, runs.Count, costs.Path);
        }
        catch (OperationCanceledException)
        {
            runs.ForEach(costs.Observe);
            throw;
        }
        finally
        {
            _calibration = null;
            Clear();
        }
    }

    /// <summary>What went wrong with the cached cost profile since the last call, for people; null when nothing did.</summary>
    internal string? TakeCostProblem() =>
        _adapterCosts.Values.Prepend(_costs).Select(costs => costs?.TakeProblem()).FirstOrDefault(p => p is not null);

    /// <summary>Whether times would be used, and too few are known.</summary>
    internal bool NeedsCalibration => _costs is { Profile: null };

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
        if (_restoresQuotes && _thinned.Exists(span => span.State != SpanState.Filled) && _tokens.Count < ContextSize)
        {
            RestoreQuoted(token, cancellationToken);
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
    public unsafe void Decode(ReadOnlySpan<int> tokens, CancellationToken cancellationToken = default)
    {
        if (tokens.IsEmpty)
        {
            throw new ArgumentException("There is at least one token to decode.", nameof(tokens));
        }
        if (_tokens.Count + tokens.Length > ContextSize)
        {
            throw new ContextFullException(_tokens.Count + tokens.Length, ContextSize);
        }
        using (Cancelling(cancellationToken))
        using (_gate.Enter(cancellationToken))
        {
            fixed (int* p = tokens)
            {
                _hasLogits = false;
                NativeCall.Check(
                    NativeMethods.ftk_decode(_context, Sequence, p, tokens.Length, _cancel),
                    cancellationToken
                );
            }
        }
        Derive();
        _tokens.AddRange(tokens);
        _hasLogits = true;
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
        return grade == CompletionGrade.Exact
            ? CompleteExactly(maxTokens, cancellationToken)
            : Fill(maxTokens, cancellationToken);
    }

    /// <summary>Tokens that <see cref="Complete"/> would have to run until the sequence is complete.</summary>
    /// <param name="grade">How.</param>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public int CountRemaining(CompletionGrade grade)
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        if (grade == CompletionGrade.Exact)
        {
            return IsExact ? 0 : _tokens.Count - InexactFrom;
        }
        int count = 0;
        foreach (ThinnedSpan span in _thinned)
        {
            if (span.State != SpanState.Thinned)
            {
                continue;
            }
            int end = Math.Min(span.End, _tokens.Count);
            bool[] held = HeldByAll(end);
            for (int position = Math.Max(span.Start, _filledFront); position < end; position++)
            {
                count += held[position] ? 0 : 1;
            }
        }
        return count;
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
        NativeCall.Check(NativeMethods.ftk_sampler_sample(sampler.Handle, _context, out int token));
        return token;
    }

    /// <summary>The logits behind the last token: one number per token of the vocabulary.</summary>
    /// <exception cref="InvalidOperationException">There are no logits.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public unsafe float[] GetLogits()
    {
        RequireLogits();
        float[] logits = new float[Model.Info.VocabularySize];
        fixed (float* p = logits)
        {
            NativeCall.Check(NativeMethods.ftk_logits(_context, p, logits.Length));
        }
        return logits;
    }

    /// <summary>The positions that a layer's KV cache holds, ascending.</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public unsafe int[] GetPositions(int layer)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Model.Info.LayerCount);
        int[] positions = new int[_tokens.Count];
        fixed (int* p = positions.Length == 0 ? new int[1] : positions)
        {
            NativeCall.Check(
                NativeMethods.ftk_seq_positions(_context, Sequence, layer, p, positions.Length, out long count)
            );
            return positions[..(int)count];
        }
    }

    /// <summary>Removes all tokens from an index on. There are no logits afterwards.</summary>
    /// <param name="tokenCount">Tokens that stay.</param>
    /// <remarks>A thinned span that is cut is not reused by later prompts.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or more than there are.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void Rewind(int tokenCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokenCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokenCount, _tokens.Count);
        Truncate(tokenCount);
        for (int i = 0; i < _thinned.Count; i++)
        {
            if (_thinned[i].End > tokenCount && _thinned[i].State != SpanState.Filled)
            {
                _thinned[i] = _thinned[i] with { End = int.MaxValue };
            }
        }
    }

    /// <summary>Removes all tokens.</summary>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public void Clear() => Truncate(0);

    /// <summary>The state of the session: tokens, KV cache, what was dropped.</summary>
    /// <returns>Bytes for <see cref="LoadState"/>, of a session on the same model with the same build.</returns>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public unsafe byte[] SaveState()
    {
        byte[] native = NativeCall.ReadBytes(
            (byte* data, long capacity, out long needed) =>
                NativeMethods.ftk_seq_state_save(_context, Sequence, data, capacity, out needed),
            1 << 20
        );
        int[] header =
        [
            unchecked((int)StateMagic),
            StateVersion,
            _tokens.Count,
            _thinned.Count,
            _skips.Length,
            _adapters.Length,
            native.Length,
            _exactFront,
            _filledFront,
            _derivedFrom,
            .. _tokens,
            .. _thinned.SelectMany(span => (int[])[span.Start, span.End, span.HasRestored ? 1 : 0, (int)span.State]),
            .. _skips.SelectMany(skip => (int[])[skip.Layer, (int)skip.Part]),
            .. _adapters.SelectMany(Identity),
        ];
        byte[] state = new byte[(header.Length * sizeof(int)) + native.Length];
        for (int i = 0; i < header.Length; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(state.AsSpan(i * sizeof(int)), header[i]);
        }
        native.CopyTo(state, header.Length * sizeof(int));
        return state;
    }

    /// <summary>Replaces the sequence by a saved one. There are no logits until the next prefill or decode.</summary>
    /// <param name="state">What <see cref="SaveState"/> returned.</param>
    /// <param name="adapters">The LoRA adapters that it was computed with; null for none.</param>
    /// <exception cref="ArgumentException">An adapter is of another model, or named twice.</exception>
    /// <exception cref="StateMismatchException">The state belongs to another model, context or build, was computed with other adapters, or is damaged. The sequence is empty afterwards.</exception>
    /// <exception cref="ObjectDisposedException">The session is disposed.</exception>
    public unsafe void LoadState(ReadOnlySpan<byte> state, IReadOnlyList<ScaledAdapter>? adapters = null)
    {
        ScaledAdapter[] usable = Usable(adapters ?? []);
        Clear();
        const int HeaderLength = 10;
        if (
            state.Length < HeaderLength * sizeof(int)
            || (uint)Number(state, 0) != StateMagic
            || Number(state, 1) != StateVersion
        )
        {
            throw new StateMismatchException("This is not a state that a session saved, or one of another version.");
        }
        int tokenCount = Number(state, 2);
        int spanCount = Number(state, 3);
        int skippedCount = Number(state, 4);
        int adapterCount = Number(state, 5);
        int nativeLength = Number(state, 6);
        long numbers =
            (long)HeaderLength
            + tokenCount
            + (4L * spanCount)
            + (2L * skippedCount)
            + ((long)IdentityLength * adapterCount);
        if (
            tokenCount < 0
            || spanCount < 0
            || skippedCount < 0
            || adapterCount < 0
            || nativeLength < 0
            || Math.Min(Number(state, 7), Math.Min(Number(state, 8), Number(state, 9))) < 0
            || Math.Max(Number(state, 7), Number(state, 8)) > tokenCount
            || (numbers * sizeof(int)) + nativeLength != state.Length
        )
        {
            throw new StateMismatchException("The saved state is truncated or damaged.");
        }
        if (tokenCount > ContextSize)
        {
            throw new StateMismatchException(
                $"The saved state has {tokenCount} tokens, and the context of this session holds {ContextSize}."
            );
        }
        // the last numbers in front of the native state
        int[] expected = [.. usable.SelectMany(Identity)];
        bool isSame = usable.Length == adapterCount;
        for (int i = 0; isSame && i < expected.Length; i++)
        {
            isSame = Number(state, (int)numbers - expected.Length + i) == expected[i];
        }
        if (!isSame)
        {
            throw new StateMismatchException(
                $"The saved state was computed with {adapterCount} LoRA adapters, and not with the {usable.Length} that are given; load it with the same adapters and scales."
            );
        }
        SetAdapters(usable);
        fixed (byte* p = state[(int)(numbers * sizeof(int))..])
        {
            NativeCall.Check(NativeMethods.ftk_seq_state_load(_context, Sequence, p, nativeLength));
        }
        int at = HeaderLength;
        for (int i = 0; i < tokenCount; i++)
        {
            _tokens.Add(Number(state, at++));
        }
        for (int i = 0; i < spanCount; i++)
        {
            _thinned.Add(
                new ThinnedSpan(
                    Number(state, at++),
                    Number(state, at++),
                    Number(state, at++) != 0,
                    (SpanState)Number(state, at++)
                )
            );
        }
        _exactFront = Number(state, 7);
        _filledFront = Number(state, 8);
        _derivedFrom = Number(state, 9);
        _skips = new LayerSkip[skippedCount];
        for (int i = 0; i < skippedCount; i++)
        {
            _skips[i] = new LayerSkip(Number(state, at++), (LayerPart)Number(state, at++));
        }

        static int Number(ReadOnlySpan<byte> bytes, int index) =>
            BinaryPrimitives.ReadInt32LittleEndian(bytes[(index * sizeof(int))..]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_context.IsClosed)
        {
            _costs?.Flush();
            foreach (CostTracker costs in _adapterCosts.Values)
            {
                costs.Flush();
            }
        }
        _context.Dispose();
        _cancel.Dispose();
    }

    /// <summary>Leading tokens of <paramref name="prompt"/> whose cache entries can serve it; at least the last token is computed.</summary>
    internal int ReusablePrefix(ReadOnlySpan<int> prompt, PrefillRequest request)
    {
        bool exact = request.Plan?.IsKeepAll ?? request.KeepsAll;
        if ((exact && _skips.Length > 0) || !Usable(request.Adapters).AsSpan().SequenceEqual(_adapters))
        {
            return 0;
        }
        int common = Math.Min(Tokens.CommonPrefixLength(prompt), prompt.Length - 1);
        if (exact && !IsExact)
        {
            return Math.Min(common, InexactFrom);
        }
        foreach (ThinnedSpan span in _thinned)
        {
            // what was completed of it can serve any prompt
            int start = Math.Max(span.Start, _exactFront);
            bool isWhole =
                span.State == SpanState.Filled
                || (common >= Math.Min(span.End, prompt.Length - 1) && prompt.Length >= span.End);
            bool isSamePrompt = prompt.Length == span.End;
            if (start < common && (!isWhole || (span.HasRestored && isSamePrompt && span.State != SpanState.Filled)))
            {
                return start;
            }
        }
        return common;
    }

    private void Truncate(int tokenCount)
    {
        _hasLogits = false;
        _heldByAll = null;
        if (tokenCount == 0)
        {
            NativeCall.Check(NativeMethods.ftk_clear(_context));
            _skips = [];
        }
        else if (tokenCount < _tokens.Count)
        {
            NativeCall.Check(NativeMethods.ftk_seq_rm(_context, Sequence, tokenCount, -1));
        }
        _tokens.RemoveRange(tokenCount, _tokens.Count - tokenCount);
        // what was completed exactly is no span any more
        _thinned.RemoveAll(span => span.Start >= tokenCount || tokenCount <= _exactFront);
        for (int i = 0; i < _thinned.Count; i++)
        {
            if (_thinned[i].State == SpanState.Filled)
            {
                _thinned[i] = _thinned[i] with { End = Math.Min(_thinned[i].End, tokenCount) };
            }
        }
        if (_derivedFrom >= tokenCount)
        {
            _derivedFrom = int.MaxValue;
        }
        _exactFront = Math.Min(_exactFront, tokenCount);
        _filledFront = Math.Min(_filledFront, tokenCount);
    }

    /// <summary>What is about to be appended is computed on what is there: on a thinned sequence it is not what it could be.</summary>
    private void Derive()
    {
        if (_thinned.Count > 0)
        {
            _derivedFrom = Math.Min(_derivedFrom, _tokens.Count);
        }
    }

    /// <summary>As <see cref="Complete"/>, an ubatch, with another number of threads; 0: as many as prefill.</summary>
    internal CompletionStep CompleteWithThreads(CompletionGrade grade, int threads, CancellationToken cancellationToken)
    {
        if (threads == 0)
        {
            return Complete(grade, int.MaxValue, cancellationToken);
        }
        NativeCall.Check(
            NativeMethods.ftk_context_set_threads(_context, Info.Threads, Math.Min(threads, Info.BatchThreads)),
            CancellationToken.None
        );
        try
        {
            return Complete(grade, int.MaxValue, cancellationToken);
        }
        finally
        {
            NativeCall.Check(
                NativeMethods.ftk_context_set_threads(_context, Info.Threads, Info.BatchThreads),
                CancellationToken.None
            );
        }
    }

    /// <summary>The first token that differs from what full prefill and decode would have left.</summary>
    private int InexactFrom =>
        Math.Max(_exactFront, Math.Min(_thinned.Count > 0 ? _thinned[0].Start : int.MaxValue, _derivedFrom));

    private CompletionStep Fill(int maxTokens, CancellationToken cancellationToken)
    {
        int ran = 0;
        for (int i = 0; i < _thinned.Count && ran < maxTokens; i++)
        {
            ThinnedSpan span = _thinned[i];
            if (span.State != SpanState.Thinned)
            {
                continue;
            }
            int end = Math.Min(span.End, _tokens.Count);
            _filledFront = Math.Max(_filledFront, span.Start);
            if (_filledFront < end && ran == 0)
            {
                (int done, ran) = RunCompletion(CompletionGrade.Fill, _filledFront, end, maxTokens, cancellationToken);
                _filledFront += done;
            }
            if (_filledFront >= end)
            {
                _thinned[i] = span with { End = end, State = SpanState.Filled };
            }
        }
        return new CompletionStep(ran, CountRemaining(CompletionGrade.Fill));
    }

    private CompletionStep CompleteExactly(int maxTokens, CancellationToken cancellationToken)
    {
        int ran = 0;
        if (!IsExact)
        {
            int from = InexactFrom;
            (int done, ran) = RunCompletion(CompletionGrade.Exact, from, _tokens.Count, maxTokens, cancellationToken);
            _exactFront = from + done;
            if (_exactFront < _tokens.Count && _thinned.Exists(span => span.End <= _exactFront))
            {
                _derivedFrom = Math.Min(_derivedFrom, _exactFront);
            }
            _thinned.RemoveAll(span => Math.Min(span.End, _tokens.Count) <= _exactFront);
            if (_exactFront >= _tokens.Count)
            {
                _derivedFrom = int.MaxValue;
            }
        }
        return new CompletionStep(ran, CountRemaining(CompletionGrade.Exact));
    }

    private unsafe (int Done, int Ran) RunCompletion(
        CompletionGrade grade,
        int from,
        int end,
        int maxTokens,
        CancellationToken cancellationToken
    )
    {
        int status;
        long done;
        long ran;
        using (_gate.Enter(cancellationToken))
        {
            _hasLogits = false;
            _heldByAll = null;
            fixed (int* tokens = Tokens[from..end])
            {
                status = NativeMethods.ftk_seq_complete(
                    _context,
                    Sequence,
                    (int)grade,
                    tokens,
                    end - from,
                    from,
                    maxTokens,
                    out done,
                    out ran
                );
            }
        }
        if (status != 0)
        {
            string message = NativeCall.LastError();
            int held = NativeMethods.ftk_seq_pos_max(_context, Sequence) + 1;
            if (held < _tokens.Count)
            {
                Rewind(held);
            }
            // upper layers may lack what was to be completed, also where everything had been filled
            _filledFront = Math.Min(_filledFront, from);
            for (int i = 0; i < _thinned.Count; i++)
            {
                if (_thinned[i].State == SpanState.Filled)
                {
                    _thinned[i] = _thinned[i] with { State = SpanState.Thinned };
                }
            }
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        return ((int)done, (int)ran);
    }

    private void RestoreQuoted(int token, CancellationToken cancellationToken)
    {
        // whatever came after the last thinned prompt: the answer, or a turn that nothing was left out of
        int promptEnd = Math.Min(_thinned[^1].End, _tokens.Count);
        int[] answer = [.. Tokens[promptEnd..], token];
        SortedSet<int> missing = [];
        foreach (QuotedPassage passage in QuoteFinder.Find(Tokens[..promptEnd], answer))
        {
            bool[] held = HeldByAll(promptEnd);
            // the last token of a prompt is never dropped, and it stands in front of the answer
            int[] absent =
            [
                .. Enumerable
                    .Range(passage.Start, Math.Min(passage.End, promptEnd - 1) - passage.Start)
                    .Where(position => !held[position]),
            ];
            // what is quoted next may be here; otherwise the passage can wait
            if (absent.Length > 0 && absent[0] < passage.Next + RestoreWithin)
            {
                missing.UnionWith(absent);
            }
        }
        if (missing.Count > 0)
        {
            Restore([.. missing], cancellationToken);
        }
    }

    private unsafe void Restore(int[] positions, CancellationToken cancellationToken)
    {
        bool[] held = _heldByAll!;
        int[] tokens = [.. positions.Select(position => _tokens[position])];
        TimeProvider time = TimeProvider.System;
        long begin = time.GetTimestamp();
        int status;
        using (_gate.Enter(cancellationToken))
        {
            _hasLogits = false;
            fixed (int* t = tokens)
            fixed (int* p = positions)
            {
                status = NativeMethods.ftk_seq_restore(_context, Sequence, t, p, positions.Length);
            }
        }
        if (status == (int)NativeStatus.ContextFull)
        {
            // nothing was changed, and the answer can do without
            return;
        }
        if (status != 0)
        {
            string message = NativeCall.LastError();
            if (NativeMethods.ftk_seq_pos_max(_context, Sequence) < positions[0])
            {
                Rewind(positions[0]);
            }
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        foreach (int position in positions)
        {
            held[position] = true;
        }
        for (int i = 0; i < _thinned.Count; i++)
        {
            ThinnedSpan span = _thinned[i];
            if (Array.Exists(positions, position => position >= span.Start && position < span.End))
            {
                _thinned[i] = span with { HasRestored = true };
            }
        }
        RestoredTokens += positions.Length;
        RestoreTime += time.GetElapsedTime(begin);
    }

    /// <summary>For each position in front of <paramref name="end"/>, and maybe of more, whether every layer with attention holds it.</summary>
    private bool[] HeldByAll(int end)
    {
        // what is decoded behind a prompt that was cut belongs to it
        if (_heldByAll is null || _heldByAll.Length < end)
        {
            _heldByAll = FindHeldByAll();
        }
        return _heldByAll;
    }

    private bool[] FindHeldByAll()
    {
        // boundaries only ever drop tokens, so the highest layer with attention holds the fewest
        int layer = Model.Info.LayerCount - 1;
        while (Array.Exists(_skips, skip => skip.Layer == layer && skip.Part != LayerPart.FeedForward))
        {
            layer--;
        }
        bool[] held = new bool[_tokens.Count];
        foreach (int position in GetPositions(layer))
        {
            held[position] = true;
        }
        return held;
    }

    /// <summary>Stock decode, chunk by chunk for progress and cancellation, in a context that is not staged.</summary>
    private unsafe NativePrefillReport StockPrefill(
        ReadOnlySpan<int> tokens,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        int before = _tokens.Count;
        int chunk = Info.UBatchSize;
        List<long> chunks = [];
        TimeProvider time = TimeProvider.System;
        try
        {
            using (Cancelling(cancellationToken))
            {
                for (int done = 0; done < tokens.Length; )
                {
                    long start = time.GetTimestamp();
                    ReadOnlySpan<int> part = tokens.Slice(done, Math.Min(chunk, tokens.Length - done));
                    fixed (int* p = part)
                    {
                        NativeCall.Check(
                            NativeMethods.ftk_decode(_context, Sequence, p, part.Length, _cancel),
                            cancellationToken
                        );
                    }
                    chunks.Add((long)time.GetElapsedTime(start).TotalMicroseconds);
                    done += part.Length;
                    progress?.Report(new PrefillProgress(0, done, tokens.Length, (double)done / tokens.Length));
                }
            }
        }
        catch
        {
            _ =
                before == 0
                    ? NativeMethods.ftk_clear(_context)
                    : NativeMethods.ftk_seq_rm(_context, Sequence, before, -1);
            throw;
        }
        long us = chunks.Sum();
        return new NativePrefillReport(us, 0, [new(0, Model.Info.LayerCount, tokens.Length, chunks.Count, us, chunks)]);
    }

    /// <summary>The adapters that change something, in an order that does not depend on the caller's.</summary>
    /// <exception cref="ArgumentException">One is of another model, or named twice, or its scale is not a finite number.</exception>
    /// <exception cref="ObjectDisposedException">One is disposed.</exception>
    private ScaledAdapter[] Usable(IReadOnlyList<ScaledAdapter> adapters)
    {
        if (adapters.Count == 0)
        {
            return [];
        }
        foreach ((LoraAdapter adapter, float scale) in adapters)
        {
            ArgumentNullException.ThrowIfNull(adapter);
            ObjectDisposedException.ThrowIf(adapter.IsDisposed, adapter);
            if (adapter.Model != Model)
            {
                throw new ArgumentException(
                    $"The LoRA adapter '{adapter.Name}' was loaded for another model; load it with this session's model."
                );
            }
            if (!float.IsFinite(scale))
            {
                throw new ArgumentException($"The scale of the LoRA adapter '{adapter.Name}' is not a finite number.");
            }
        }
        if (adapters.DistinctBy(adapter => adapter.Adapter).Count() < adapters.Count)
        {
            throw new ArgumentException("A LoRA adapter is named twice; name it once, with one scale.");
        }
        return
        [
            .. adapters
                .Where(adapter => adapter.Scale != 0)
                .OrderBy(adapter => Convert.ToHexString(adapter.Adapter.Fingerprint), StringComparer.Ordinal),
        ];
    }

    /// <summary>What a saved state knows of an adapter, <see cref="IdentityLength"/> numbers.</summary>
    private static int[] Identity(ScaledAdapter adapter) =>
        [
            .. adapter
                .Adapter.Fingerprint.Chunk(sizeof(int))
                .Select(bytes => BinaryPrimitives.ReadInt32LittleEndian(bytes)),
            BitConverter.SingleToInt32Bits(adapter.Scale),
        ];

    private unsafe void SetAdapters(ScaledAdapter[] adapters)
    {
        if (adapters.AsSpan().SequenceEqual(_adapters))
        {
            return;
        }
        foreach ((LoraAdapter adapter, _) in adapters)
        {
            if (!_keptAdapters.Contains(adapter))
            {
                _context.KeepAlive(adapter.Handle);
                _keptAdapters.Add(adapter);
            }
        }
        nint[] handles = [.. adapters.Select(adapter => adapter.Adapter.Handle.DangerousGetHandle())];
        float[] scales = [.. adapters.Select(adapter => adapter.Scale)];
        fixed (nint* p = handles)
        fixed (float* s = scales)
        {
            NativeCall.Check(NativeMethods.ftk_set_adapters(_context, p, s, handles.Length));
        }
        _adapters = adapters;
    }

    private CancellationTokenRegistration Cancelling(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return NativeCancellation.Arm(_cancel, cancellationToken);
    }

    private PrefillDecision Decide(PrefillRequest request, ScaledAdapter[] adapters, int promptLength, int reused)
    {
        PrefillCost cost = CostsOf(adapters) is { Profile: { } times } ? times : Cost;
        PrefillPlanner planner = new(cost, decodeCost: _decodeCost);
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
            reused > 0 ? _skips : null,
            Model.Profile?.FindSkipMismatch(known)
        );
    }

    /// <summary>What learns the times of prefills with some adapters; null when plans rest on counting alone.</summary>
    private CostTracker? CostsOf(ScaledAdapter[] adapters)
    {
        if (_costs is null || adapters.Length == 0)
        {
            return _costs;
        }
        string key = string.Join(
            ' ',
            adapters.Select(adapter => Convert.ToHexStringLower(adapter.Adapter.Fingerprint))
        );
        if (!_adapterCosts.TryGetValue(key, out CostTracker? costs))
        {
            costs = Model.GetCosts(_costs, key);
            _adapterCosts.Add(key, costs);
        }
        return costs;
    }

    /// <summary>Hands the times of a prefill to the cost profile.</summary>
    /// <returns>An estimate of what plain prefill would have taken; null where nothing was left out.</returns>
    private PrefillTimeEstimate? Learn(
        NativePrefillReport native,
        PrefillDecision decision,
        int reused,
        int computed,
        TimeSpan elapsed,
        double cpuShare
    )
    {
        bool isPlain = decision.Plan.IsKeepAll;
        if (CostsOf(_adapters) is not { } costs)
        {
            return isPlain ? null : CountPlainTime(native, reused, computed);
        }
        PrefillRun run = PrefillTimes.Sample(
            native,
            costs.Layout,
            _skips,
            reused,
            // nothing is probed where no tokens are chosen
            decision.Plan.Boundaries.Count > 0
                ? decision.Probes
                : default,
            elapsed,
            // a device computes while the processor waits
            costs.Layout.FirstDeviceLayer == costs.Layout.LayerCount
                ? cpuShare
                : null
        );
        PrefillTimeEstimate? plain =
            isPlain ? null
            : (costs.Profile ?? _costs!.Profile) is { } profile
                ? profile.EstimatePlainTime([.. run.Chunks.Take(native.Stages[0].NChunks)], computed, reused)
            : CountPlainTime(native, reused, computed);
        if (_calibration is not null)
        {
            _calibration.Add(run);
        }
        else if (run.Chunks.All(chunk => chunk.Layers.IsWhole))
        {
            costs.Observe(run);
        }
        return plain;
    }

    /// <summary>Without a profile: the time of the first stage, which ran every token, in proportion to the operations counted.</summary>
    private PrefillTimeEstimate CountPlainTime(NativePrefillReport native, int reused, int computed)
    {
        NativeStageReport first = native.Stages[0];
        double share = _counted.CostOfStage(first.LayerBegin, first.LayerEnd, _skips, computed, reused);
        double all = _counted.Cost(PrefillPlan.KeepAll, computed, reused);
        return new PrefillTimeEstimate(TimeSpan.FromMicroseconds(first.Us * all / share), null);
    }

    private void RequireLogits()
    {
        ObjectDisposedException.ThrowIf(_context.IsClosed, this);
        if (!_hasLogits)
        {
            throw new InvalidOperationException(
                "There are no logits to read: prefill or decode first. Rewinding, clearing and loading a state drop them."
            );
        }
    }

    /// <summary>What every new context needs; disposes it on failure.</summary>
    private static (ContextInfo Info, SafeCancelHandle Cancel) Open(
        SafeContextHandle context,
        int status,
        SafeModelHandle model
    )
    {
        if (status != 0)
        {
            string message = NativeCall.LastError();
            context.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        try
        {
            context.KeepAlive(model);
            ContextInfo info = ReadInfo(context);
            NativeCall.Check(NativeMethods.ftk_cancel_create(out SafeCancelHandle cancel));
            return (info, cancel);
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    private static unsafe ContextInfo ReadInfo(SafeContextHandle context)
    {
        string json = NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_context_info(context, buffer, capacity, out needed)
        );
        return JsonSerializer.Deserialize(json, SessionJsonContext.Default.ContextInfo)!;
    }

    private enum SpanState
    {
        /// <summary>Upper layers lack tokens.</summary>
        Thinned = 0,

        /// <summary>Every layer holds all tokens; those that came later attended to those that were there.</summary>
        Filled = 1,

        /// <summary>Upper layers hold keys and values of a residual stream that stopped below them.</summary>
        Frozen = 2,
    }

    private readonly record struct ThinnedSpan(int Start, int End, bool HasRestored, SpanState State);
}
