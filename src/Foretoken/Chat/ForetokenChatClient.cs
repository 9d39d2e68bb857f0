using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Foretoken.Chat;
using Foretoken.Costs;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Interop;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken;

/// <summary>A chat client on a local Llama-family model that answers sooner by a factor that is asked for.</summary>
/// <remarks>
/// <para>
/// Thread-safe. Requests queue for one of the <see cref="ForetokenChatClientOptions.Slots"/>, first come first served, and can
/// be cancelled while they wait. All heavy work runs on threads of the client; a cancelled request stops within one chunk of
/// its prefill or one token of its answer. A failed or cancelled request leaves the client usable. When an RPC server goes
/// away, the requests that run and wait fail with <see cref="DeviceLostException"/>, and the next one loads the model again.
/// </para>
/// <para>
/// The client is stateless to its callers: send the whole history with each request. What the KV cache of a slot holds of it
/// is reused, whichever conversation it came from, under the rules of <see cref="ForetokenSession"/>. A request goes to the
/// idle slot with the longest such prefix, if that is more than it would overwrite there, and otherwise to the slot that was
/// used least recently.
/// </para>
/// <para>
/// Of <see cref="ChatOptions"/> it honours temperature (unset: greedy, or 1 when top-p, top-k or min-p is set), top-p,
/// top-k, penalties, seed, maximal tokens, stop sequences, instructions, JSON and JSON schema response formats, functions
/// and tool mode, several calls at once where the template takes them back, reasoning, a <see cref="SamplerOptions"/> as raw representation, and of the additional properties <c>target_ttft_speedup</c>, <c>max_quality_loss</c>,
/// <c>use_thresholds</c>, <c>importance</c>, <c>lora_adapters</c> and <c>min_p</c>. A conversation id, background responses and hosted tools,
/// functions where the model's template knows of none, a call that is demanded where it has no format for calls, and an effort or
/// summary of reasoning that it does not know, are refused with <see cref="NotSupportedException"/>, and so is a JSON
/// response format beside functions, but with <see cref="ForetokenChatClientOptions.UseGenericTools"/> where the template has no
/// format of calls.
/// </para>
/// <para>
/// A function call is handed over only when its arguments are complete and fit the function's schema. One that the token limit
/// or a stop sequence cut, or that does not fit, is part of the text, and the finish reason says what ended the answer.
/// </para>
/// <para>
/// Schemas are normalised first, and what cannot be honoured is a <see cref="GrammarException"/> that names the property.
/// A pattern describes the whole string, as <c>[RegularExpression]</c> has it. Not enforced on a response format, and logged, are
/// bounds of numbers that are not integers, lengths above 2,000, counts above 600, lengths beside patterns that are more than one
/// repeated part, <c>multipleOf</c> and <c>uniqueItems</c>; arguments of calls are checked against these as well.
/// </para>
/// <para>
/// <see cref="Dispose"/> is safe at any moment: running and waiting requests end with <see cref="ObjectDisposedException"/>,
/// and the native memory is freed when the running ones have stopped.
/// </para>
/// </remarks>
public sealed class ForetokenChatClient : IChatClient, IAsyncDisposable
{
    // this machine, and no port that anybody listens on
    private static readonly Uri ProviderUri = new("foretoken://127.0.0.1");

    private readonly ForetokenChatClientOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;

    // loads the model and renders prompts, one request at a time, so that they queue for slots in the order they came in
    private readonly InferenceThread _front = new("Foretoken");
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly CancellationTokenSource _disposing = new();
    private readonly bool _ownsModel;
    private readonly ChatClientMetadata _metadata;
    private readonly CompletionChoice _completion;
    private readonly AnswerWriter _answers;
    private int _disposed;

    // ends a calibration that nobody waits for; null while there is none
    private CancellationTokenSource? _background;

    // written on the front thread only
    private ForetokenModel? _model;
    private RequestRenderer? _renderer;
    private LoraAdapterSet? _adapters;
    private InferenceSlot[] _slots = [];
    private SlotPool<InferenceSlot>? _pool;

    // the pool whose model was lost with a server; the next request replaces it
    private SlotPool<InferenceSlot>? _lostPool;

    /// <summary>Creates a client. The model is checked now and loaded by the first request, or by <see cref="LoadAsync"/>.</summary>
    /// <param name="options">The options; copied.</param>
    /// <exception cref="ArgumentException">No model path.</exception>
    /// <exception cref="ModelLoadException">The model file is missing, not GGUF, truncated or inconsistent.</exception>
    /// <exception cref="ModelProfileException">The profile is missing, damaged or of another model, or the importance needs one and there is none.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    public ForetokenChatClient(ForetokenChatClientOptions options)
        : this(CheckModelPath(options), model: null) { }

    /// <summary>Creates a client on a loaded model, which may be shared and stays the caller's to dispose.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">The options; copied. The model path, the profile, GPU layers, devices and servers are ignored: the model is loaded already.</param>
    /// <exception cref="ModelProfileException">The importance needs a profile, and the model has none.</exception>
    public ForetokenChatClient(ForetokenModel model, ForetokenChatClientOptions? options = null)
        : this(options ?? new ForetokenChatClientOptions(), model ?? throw new ArgumentNullException(nameof(model)))
    {
        ImportancePolicies.Get(_options.Speed.Importance, model.Profile?.Predictors);
    }

    private ForetokenChatClient(ForetokenChatClientOptions options, ForetokenModel? model)
    {
        _options = options.Clone();
        _logger = _options.LoggerFactory?.CreateLogger("Foretoken") ?? NullLogger.Instance;
        _time = _options.TimeProvider;
        _model = model;
        _ownsModel = model is null;
        _metadata = new ChatClientMetadata(ForetokenMeter.ProviderName, ProviderUri, FindModelId(_options, model));
        _completion = new CompletionChoice(_options);
        _answers = new AnswerWriter(_completion, ModelId, _logger, _time);
    }

    /// <summary>Creates a client and loads its model, on a thread of the client.</summary>
    /// <param name="options">The options; copied.</param>
    /// <param name="progress">Receives the share of the model that is loaded, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the loading.</param>
    /// <inheritdoc cref="ForetokenModel.Load" path="/exception"/>
    public static async Task<ForetokenChatClient> CreateAsync(
        ForetokenChatClientOptions options,
        IProgress<float>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ForetokenChatClient client = new(options);
        try
        {
            await client.LoadAsync(progress, cancellationToken).ConfigureAwait(false);
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <summary>Loads the model, when it is not loaded yet, so that the first request does not have to.</summary>
    /// <param name="progress">Receives the share that is loaded, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the loading; the next request or call tries again.</param>
    /// <inheritdoc cref="ForetokenModel.Load" path="/exception"/>
    public async Task LoadAsync(IProgress<float>? progress = null, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        using CancellationTokenSource linked = Link(cancellationToken);
        try
        {
            await InTurn(
                    () =>
                    {
                        EnsureLoaded(progress, linked.Token);
                        return Task.FromResult(true);
                    },
                    linked.Token
                )
                .ConfigureAwait(false);
        }
        catch (Exception e) when (IsBecauseOfDisposal(e, cancellationToken))
        {
            throw new ObjectDisposedException(GetType().FullName);
        }
    }

    /// <summary>
    /// Measures what prefills take on this machine, so that promises rest on times; see
    /// <see cref="ForetokenSession.Calibrate"/>. Loads the model when it is not loaded yet. One of the slots is taken for it, and
    /// the conversation that it holds is forgotten; requests wait for the others.
    /// </summary>
    /// <param name="options">How long it may take; null for the defaults.</param>
    /// <param name="progress">Receives the share of the time that is used, 0 to 1, on a thread of the client.</param>
    /// <param name="cancellationToken">Ends it early; what was measured until then is learned.</param>
    /// <inheritdoc cref="ForetokenSession.Calibrate" path="/exception"/>
    /// <inheritdoc cref="ForetokenModel.Load" path="/exception"/>
    public async Task<CalibrationResult> CalibrateAsync(
        CalibrationOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        using CancellationTokenSource linked = Link(cancellationToken);
        SlotPool<InferenceSlot>? pool = null;
        try
        {
            InferenceSlot slot = await InTurn(
                    () =>
                    {
                        EnsureLoaded(progress: null, linked.Token);
                        pool = _pool!;
                        return pool.AcquireAsync(_ => default, linked.Token);
                    },
                    linked.Token
                )
                .ConfigureAwait(false);
            try
            {
                CalibrationResult result = await slot
                    .Thread.Run(() => slot.Session.Calibrate(options, progress, linked.Token))
                    .ConfigureAwait(false);
                _logger.Calibrated(result.Time.TotalSeconds, result.Prefills, result.CachePath);
                AnswerWriter.LogCostProblem(_logger, slot.Session);
                return result;
            }
            catch (DeviceLostException)
            {
                Volatile.Write(ref _lostPool, pool);
                throw;
            }
            finally
            {
                pool!.Release(slot);
            }
        }
        catch (Exception e) when (IsBecauseOfDisposal(e, cancellationToken))
        {
            throw new ObjectDisposedException(GetType().FullName);
        }
    }

    /// <inheritdoc/>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        List<ChatResponseUpdate> updates = [];
        await foreach (
            ChatResponseUpdate update in GetStreamingResponseAsync(messages, options, cancellationToken)
                .ConfigureAwait(false)
        )
        {
            updates.Add(update);
        }
        ChatResponse response = updates.ToChatResponse();
        response.RawRepresentation = response.Messages[^1].RawRepresentation = updates[^1].RawRepresentation;
        return response;
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(messages);
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        return StreamAsync(ChatRequest.Create(messages, options, _options, _logger, this), cancellationToken);
    }

    /// <inheritdoc/>
    /// <remarks>
    /// Offered are the client itself, <see cref="ChatClientMetadata"/>, and once the model is loaded a <see cref="PromptCounter"/>,
    /// the <see cref="ForetokenModel"/> and, of a client with one slot, its <see cref="ForetokenSession"/>: look at that only while
    /// no request runs.
    /// </remarks>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null)
        {
            return null;
        }
        if (serviceType == typeof(ChatClientMetadata))
        {
            return _metadata;
        }
        if (serviceType == typeof(PromptCounter))
        {
            return Volatile.Read(ref _pool) is null ? null : new PromptCounter(this);
        }
        if (serviceType == typeof(ForetokenModel))
        {
            return Volatile.Read(ref _model);
        }
        if (serviceType == typeof(ForetokenSession))
        {
            return Volatile.Read(ref _slots) is [{ } only] ? only.Session : null;
        }
        return serviceType.IsInstanceOfType(this) ? this : null;
    }

    /// <summary>
    /// Ends all requests and waits until the running ones have stopped, which they do within one chunk of their prefill; then
    /// frees the native memory. Called from a progress callback, it does not wait.
    /// </summary>
    public void Dispose()
    {
        BeginDispose();
        if (!IsOwnThread)
        {
            _front.Join();
        }
    }

    /// <summary>Disposes the client like <see cref="Dispose"/>, without blocking while running requests stop.</summary>
    public async ValueTask DisposeAsync()
    {
        BeginDispose();
        if (!IsOwnThread)
        {
            await Task.Run(_front.Join).ConfigureAwait(false);
        }
    }

    /// <summary>Calibrates where nothing was measured before, if the options have it so, and until a request comes.</summary>
    internal async Task CalibrateIfNewAsync(CancellationToken cancellationToken)
    {
        await LoadAsync(progress: null, cancellationToken).ConfigureAwait(false);
        if (
            _options.Calibration != CalibrationMode.WarmUp
            || Volatile.Read(ref _slots) is not [{ Session.NeedsCalibration: true }, ..]
        )
        {
            return;
        }
        CancellationTokenSource request = new();
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(
            request.Token,
            cancellationToken
        );
        Volatile.Write(ref _background, request);
        try
        {
            await CalibrateAsync(cancellationToken: either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (request.IsCancellationRequested)
        {
            _logger.CalibrationEnded();
        }
        finally
        {
            Volatile.Write(ref _background, null);
        }
    }

    private void LogSlowWeights(ForetokenModel model)
    {
        if (_logger.IsEnabled(LogLevel.Information) && model.FindSlowWeights() is { FasterTypes.Count: > 0 } slow)
        {
            _logger.NoPrefillKernel(slow.Type, string.Join(", ", slow.FasterTypes));
        }
    }

    private static ForetokenChatClientOptions CheckModelPath(ForetokenChatClientOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.EnsureUsable();
        return options;
    }

    private string ModelId => _metadata.DefaultModelId!;

    private static string FindModelId(ForetokenChatClientOptions options, ForetokenModel? model)
    {
        string path = model?.Path ?? options.ModelPath;
        string name = GgufShardName.Parse(path) is { } shard
            ? Path.GetFileName(shard.Prefix)
            : Path.GetFileNameWithoutExtension(path);
        return options.ModelId ?? (name.Length > 0 ? name : model?.GetMetadata("general.name") ?? "model");
    }

    /// <exception cref="InvalidOperationException">The model is not loaded.</exception>
    internal ForetokenModel LoadedModel => Loaded(Volatile.Read(ref _model));

    /// <exception cref="InvalidOperationException">The model is not loaded.</exception>
    internal int LoadedContextSize =>
        Loaded(Volatile.Read(ref _slots) is [{ } first, ..] ? first : null).Session.ContextSize;

    /// <summary>Tokens of the prompt that a request would have.</summary>
    /// <exception cref="InvalidOperationException">The model is not loaded.</exception>
    internal int CountPrompt(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        ChatRequest request = ChatRequest.Create(messages, options, _options, NullLogger.Instance, this);
        using ChatPrompt prompt = Loaded(Volatile.Read(ref _renderer)).Render(request);
        return prompt.Tokens.Length;
    }

    private T Loaded<T>(T? part)
        where T : class
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        return part
            ?? throw new InvalidOperationException(
                "The model is not loaded, or was lost with a server. Call LoadAsync, or send a request."
            );
    }

    /// <summary>Slots that no request holds; null until the model is loaded.</summary>
    internal int? IdleSlots => Volatile.Read(ref _pool)?.IdleCount;

    // a progress callback may dispose the client that it reports about
    private bool IsOwnThread =>
        _front.IsCurrent || Array.Exists(Volatile.Read(ref _slots), slot => slot.Thread.IsCurrent);

    private void BeginDispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }
        _disposing.Cancel();
        _front.TryPost(() =>
        {
            Array.ForEach(_slots, slot => slot.Dispose());
            _renderer?.Dispose();
            _adapters?.Dispose();
            if (_ownsModel)
            {
                _model?.Dispose();
            }
            NativeLog.Detach(_logger);
        });
        _front.Complete();
    }

    private CancellationTokenSource Link(CancellationToken cancellationToken) =>
        CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _disposing.Token);

    private bool IsBecauseOfDisposal(Exception error, CancellationToken cancellationToken) =>
        error is OperationCanceledException or ObjectDisposedException
        && Volatile.Read(ref _disposed) != 0
        && !cancellationToken.IsCancellationRequested;

    /// <summary>Does work on the front thread after that of earlier requests. What it returns is awaited out of turn.</summary>
    private async Task<T> InTurn<T>(Func<Task<T>> work, CancellationToken cancellationToken)
    {
        Task<T> result;
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await UnloadIfLostAsync(cancellationToken).ConfigureAwait(false);
            result = await _front.Run(work).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
        return await result.ConfigureAwait(false);
    }

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        ChatRequest request,
        [EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        using CancellationTokenSource linked = Link(cancellationToken);
        Activity? outer = ChatTelemetry.FindOuterSpan(ModelId);
        Channel<ChatResponseUpdate> updates = Channel.CreateUnbounded<ChatResponseUpdate>(
            new UnboundedChannelOptions { SingleReader = true, SingleWriter = true }
        );
        Task finished = RunAsync(request, updates.Writer, outer, linked.Token, cancellationToken);
        try
        {
            // not cancellable here: cancellation goes through the engine, which ends the channel when it has stopped
            await foreach (
                ChatResponseUpdate update in updates.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false)
            )
            {
                if (outer is not null && update.GetPrefillReport() is { } report)
                {
                    ChatTelemetry.Describe(outer, request, report);
                }
                yield return update;
            }
        }
        finally
        {
            // a reader that leaves early ends the request; the token source lives until the engine has let go of it
            await linked.CancelAsync().ConfigureAwait(false);
            await finished.ConfigureAwait(false);
        }
    }

    /// <summary>One request from its arrival to its end, which it writes to <paramref name="updates"/> whatever happens.</summary>
    private async Task RunAsync(
        ChatRequest request,
        ChannelWriter<ChatResponseUpdate> updates,
        Activity? outer,
        CancellationToken linked,
        CancellationToken cancellationToken
    )
    {
        using ChatTelemetry telemetry = new(request, ModelId, _time, outer);
        Exception? error = null;
        try
        {
            await RunInSlotAsync(request, updates, telemetry, linked).ConfigureAwait(false);
        }
#pragma warning disable CA1031 // handed over to the caller through the channel
        catch (Exception e)
#pragma warning restore CA1031
        {
            error = Translate(e, request, cancellationToken);
            telemetry.Failed(error);
        }
        updates.Complete(error);
    }

    private async Task RunInSlotAsync(
        ChatRequest request,
        ChannelWriter<ChatResponseUpdate> updates,
        ChatTelemetry telemetry,
        CancellationToken cancellationToken
    )
    {
        long arrived = _time.GetTimestamp();
        PreparedRequest? prepared = null;
        SlotPool<InferenceSlot>? pool = null;
        CompletionOptions? idle = null;
        Volatile.Read(ref _background)?.Cancel();
        try
        {
            InferenceSlot slot = await InTurn(
                    () =>
                    {
                        long start = _time.GetTimestamp();
                        EnsureLoaded(progress: null, cancellationToken);
                        IImportancePolicy? importance = request.Speed.Importance is null
                            ? null
                            : ImportancePolicies.Get(request.Speed.Importance, _model!.Profile?.Predictors);
                        PreparedRequest now = prepared = new PreparedRequest(
                            request,
                            Render(request, cancellationToken),
                            importance,
                            _adapters!.Get(request.Adapters)
                        );
                        now.PreparationTime = _time.GetElapsedTime(start);
                        pool = _pool!;
                        return pool.AcquireAsync(slot => slot.Match(now.Prompt.Tokens, now.Prefill), cancellationToken);
                    },
                    cancellationToken
                )
                .ConfigureAwait(false);
            try
            {
                prepared!.QueueTime = _time.GetElapsedTime(arrived) - prepared.PreparationTime;
                await slot
                    .Thread.Run(() =>
                    {
                        _answers.Write(prepared, slot.Session, updates, telemetry, cancellationToken);
                        return true;
                    })
                    .ConfigureAwait(false);
            }
            catch (DeviceLostException)
            {
                Volatile.Write(ref _lostPool, pool);
                throw;
            }
            finally
            {
                // it holds on to the model, which the next request may have to load again
                prepared!.Prompt.Dispose();
                idle = _completion.ChooseIdle(request, slot.Session);
                // the next request may start before this one's reader has seen the end
                pool!.Release(slot);
            }
            if (idle is not null)
            {
                CompleteWhenIdle(pool, idle.IdleThreads);
            }
        }
        finally
        {
            prepared?.Prompt.Dispose();
        }
    }

    /// <summary>The exception that the caller sees.</summary>
    private Exception Translate(Exception error, ChatRequest request, CancellationToken cancellationToken)
    {
        if (IsBecauseOfDisposal(error, cancellationToken))
        {
            return new ObjectDisposedException(GetType().FullName);
        }
        if (error is OperationCanceledException)
        {
            _logger.Cancelled(request.ResponseId);
            return new OperationCanceledException("The request was cancelled.", error, cancellationToken);
        }
        _logger.Failed(error, request.ResponseId);
        return error;
    }

    private void EnsureLoaded(IProgress<float>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (_pool is not null)
        {
            return;
        }
        NativeLibraryInfo library = NativeLoader.EnsureLoaded();
        if (_options.LoggerFactory is not null)
        {
            NativeLog.Attach(_logger);
        }
        _model ??= ForetokenModel.Load(_options.ModelPath, _options.Model, progress, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        _renderer ??= new RequestRenderer(_model, _options, _logger);
        _adapters ??= new LoraAdapterSet(_model, _options.Adapters);
        try
        {
            _slots = CreateSlots(_model);
        }
        catch (DeviceLostException)
        {
            Unload();
            throw;
        }
        Volatile.Write(ref _pool, new SlotPool<InferenceSlot>(_slots));
        ForetokenSession first = _slots[0].Session;
        _logger.ModelLoaded(
            _model.Path,
            _model.Info.Description,
            _model.Info.LayerCount,
            _slots.Length,
            first.ContextSize,
            library.LlamaRelease,
            library.PatchHash
        );
        LogSlowWeights(_model);
        AnswerWriter.LogCostProblem(_logger, first);
        if (first.Cost is MeasuredPrefillCost cost)
        {
            _logger.MeasuredCostsInUse(cost.Runs, 100 * cost.RunSpread);
        }
        if (first.NotStagedReason is { } reason)
        {
            _logger.NotStaged(reason);
        }
        else if (
            _model.Profile is { } profile
            && ImportancePolicies.Get(_options.Speed.Importance, profile.Predictors) is LearnedImportance
        )
        {
            _logger.ProfileInUse(profile.ModelName, profile.Predictors.Count, profile.Origin.Prompts);
        }
        else if (_model.Profile is null && _options.Speed.Importance is null)
        {
            _logger.NoProfile(ImportancePolicies.Default.Name);
        }
        ScaledAdapter[] defaults = _adapters.Get(LoraAdapterSet.Choose(_options.Adapters, named: null));
        if (_model.Profile?.FindSkipMismatch(ScaledAdapter.ToProfile(defaults)) is { } mismatch)
        {
            _logger.SkipsLeftAside(mismatch);
        }
    }

    /// <summary>
    /// Frees a model that was lost with a server, once nobody is in its slots, so that it can be loaded again. In turn: nobody
    /// else asks for a slot meanwhile, and those who wait for one get it first, and fail.
    /// </summary>
    private async Task UnloadIfLostAsync(CancellationToken cancellationToken)
    {
        // a shared model is not this client's to load again
        if (!_ownsModel || Volatile.Read(ref _lostPool) is not { } lost || lost != Volatile.Read(ref _pool))
        {
            return;
        }
        List<InferenceSlot> idle = [];
        try
        {
            while (idle.Count < _slots.Length)
            {
                idle.Add(await lost.AcquireAsync(_ => default, cancellationToken).ConfigureAwait(false));
            }
        }
        catch
        {
            idle.ForEach(lost.Release);
            throw;
        }
        await _front
            .Run(() =>
            {
                Unload();
                return true;
            })
            .ConfigureAwait(false);
    }

    private void Unload()
    {
        if (!_ownsModel)
        {
            return;
        }
        Array.ForEach(_slots, slot => slot.Dispose());
        _renderer?.Dispose();
        _adapters?.Dispose();
        _model?.Dispose();
        Volatile.Write(ref _slots, []);
        _renderer = null;
        _adapters = null;
        _model = null;
        Volatile.Write(ref _pool, null);
        Volatile.Write(ref _lostPool, null);
    }

    private InferenceSlot[] CreateSlots(ForetokenModel model)
    {
        List<InferenceSlot> slots = [];
        try
        {
            while (slots.Count < _options.Slots)
            {
                ForetokenSession session = model.CreateSession(_options.ToSessionOptions());
                slots.Add(new InferenceSlot(session, $"Foretoken slot {slots.Count + 1}"));
            }
            return [.. slots];
        }
        catch
        {
            slots.ForEach(slot => slot.Dispose());
            throw;
        }
    }

    private ChatPrompt Render(ChatRequest request, CancellationToken cancellationToken)
    {
        ChatPrompt prompt = _renderer!.Render(request, cancellationToken);
        try
        {
            // an answer needs room for one token at least
            int contextSize = _slots[0].Session.ContextSize;
            if (prompt.Tokens.Length + 1 > contextSize)
            {
                throw new ContextFullException(prompt.Tokens.Length + 1, contextSize);
            }
            return prompt;
        }
        catch
        {
            prompt.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Completes what the request has left thinned, in chunks between which the slot is free for others, until a request comes.
    /// </summary>
    private void CompleteWhenIdle(SlotPool<InferenceSlot> pool, int threads)
    {
        CancellationTokenSource nextRequest = new();
        Volatile.Write(ref _background, nextRequest);
        _ = CompleteWhenIdleAsync(pool, threads, nextRequest);
    }

    private async Task CompleteWhenIdleAsync(
        SlotPool<InferenceSlot> pool,
        int threads,
        CancellationTokenSource nextRequest
    )
    {
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(
            nextRequest.Token,
            _disposing.Token
        );
        CancellationToken stop = either.Token;
        long start = _time.GetTimestamp();
        int tokens = 0;
        try
        {
            for (int remaining = 1; remaining > 0; )
            {
                InferenceSlot slot = await pool.AcquireAsync(_ => default, stop).ConfigureAwait(false);
                try
                {
                    CompletionStep step = await slot
                        .Thread.Run(() => slot.Session.CompleteWithThreads(CompletionGrade.Exact, threads, stop))
                        .ConfigureAwait(false);
                    tokens += step.Tokens;
                    remaining = step.Remaining;
                }
                finally
                {
                    pool.Release(slot);
                }
            }
            _logger.CompletedWhenIdle(tokens, _time.GetElapsedTime(start).TotalMilliseconds);
        }
        catch (OperationCanceledException)
        {
            // the next request goes on from there
        }
#pragma warning disable CA1031 // nobody waits for it: what is wrong with the slot the next request finds, too
        catch (Exception e)
#pragma warning restore CA1031
        {
            if (e is DeviceLostException)
            {
                Volatile.Write(ref _lostPool, pool);
            }
            _logger.IdleCompletionFailed(e);
        }
        finally
        {
            Interlocked.CompareExchange(ref _background, null, nextRequest);
        }
    }
}
