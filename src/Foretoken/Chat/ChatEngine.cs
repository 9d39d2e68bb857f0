using System.Threading.Channels;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Interop;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Chat;

/// <summary>
/// Runs the requests of a client: loads the model when it is needed, lends the slots in the order in which requests came, and loads
/// the model again where a server took it along.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class ChatEngine : IDisposable
{
    private readonly ForetokenChatClientOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;

    // loads the model and renders prompts, one request at a time, so that they queue for slots in the order they came in
    private readonly InferenceThread _front = new("Foretoken");
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly CancellationTokenSource _disposing = new();
    private readonly CompletionChoice _completion;
    private readonly AnswerWriter _answers;
    private readonly ChatModel _model;
    private readonly IdleWork _idle;
    private int _disposed;

    // the pool whose model was lost with a server; the next request replaces it
    private SlotPool<InferenceSlot>? _lostPool;

    internal ChatEngine(ForetokenChatClientOptions options, ForetokenModel? model, string modelId, ILogger logger)
    {
        _options = options;
        _logger = logger;
        _time = options.TimeProvider;
        _completion = new CompletionChoice(options);
        _answers = new AnswerWriter(_completion, modelId, logger, _time);
        _model = new ChatModel(options, model, logger);
        _idle = new IdleWork(logger, _time, Lost, _disposing.Token);
    }

    /// <summary>What is loaded.</summary>
    internal ChatModel Model => _model;

    internal bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    // a progress callback may dispose the client that it reports about
    private bool IsOwnThread => _front.IsCurrent || Array.Exists(_model.Slots, slot => slot.Thread.IsCurrent);

    internal async Task LoadAsync(IProgress<float>? progress, CancellationToken cancellationToken)
    {
        ThrowIfDisposed();
        using CancellationTokenSource linked = Link(cancellationToken);
        try
        {
            await InTurn(
                    () =>
                    {
                        _model.EnsureLoaded(progress, linked.Token);
                        return Task.FromResult(true);
                    },
                    linked.Token
                )
                .ConfigureAwait(false);
        }
        catch (Exception e) when (IsBecauseOfDisposal(e, cancellationToken))
        {
            throw Disposed();
        }
    }

    /// <summary>Measures what prefills take, in one of the slots.</summary>
    internal async Task<CalibrationResult> CalibrateAsync(
        CalibrationOptions? options,
        IProgress<double>? progress,
        CancellationToken cancellationToken
    )
    {
        ThrowIfDisposed();
        using CancellationTokenSource linked = Link(cancellationToken);
        SlotPool<InferenceSlot>? pool = null;
        try
        {
            InferenceSlot slot = await InTurn(
                    () =>
                    {
                        _model.EnsureLoaded(progress: null, linked.Token);
                        pool = _model.Pool!;
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
                Lost(pool!);
                throw;
            }
            finally
            {
                pool!.Release(slot);
            }
        }
        catch (Exception e) when (IsBecauseOfDisposal(e, cancellationToken))
        {
            throw Disposed();
        }
    }

    /// <summary>Calibrates where nothing was measured before, if the options have it so, and until a request comes.</summary>
    internal async Task CalibrateIfNewAsync(CancellationToken cancellationToken)
    {
        await LoadAsync(progress: null, cancellationToken).ConfigureAwait(false);
        if (
            _options.Calibration == CalibrationMode.WarmUp
            && _model.Slots is [{ Session.NeedsCalibration: true }, ..]
            && !await _idle
                .RunAsync(stop => CalibrateAsync(options: null, progress: null, stop), cancellationToken)
                .ConfigureAwait(false)
        )
        {
            _logger.CalibrationEnded();
        }
    }

    /// <summary>Computes the answer to a request and writes it, in the slot that suits it best.</summary>
    internal async Task RunAsync(
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
        _idle.End();
        try
        {
            InferenceSlot slot = await InTurn(
                    () =>
                    {
                        long start = _time.GetTimestamp();
                        _model.EnsureLoaded(progress: null, cancellationToken);
                        IImportancePolicy? importance = request.Speed.Importance is null
                            ? null
                            : ImportancePolicies.Get(request.Speed.Importance, _model.Model!.Profile?.Predictors);
                        PreparedRequest now = prepared = new PreparedRequest(
                            request,
                            _model.Render(request, cancellationToken),
                            importance,
                            _model.Adapters!.Get(request.Adapters)
                        );
                        now.PreparationTime = _time.GetElapsedTime(start);
                        pool = _model.Pool!;
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
                Lost(pool!);
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
                _idle.Complete(pool, idle.IdleThreads);
            }
        }
        finally
        {
            prepared?.Prompt.Dispose();
        }
    }

    /// <summary>Cancels when either of both does: the caller, or the client that is disposed.</summary>
    internal CancellationTokenSource Link(CancellationToken cancellationToken) =>
        CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _disposing.Token);

    /// <summary>Whether an error is the disposal's.</summary>
    internal bool IsBecauseOfDisposal(Exception error, CancellationToken cancellationToken) =>
        error is OperationCanceledException or ObjectDisposedException
        && IsDisposed
        && !cancellationToken.IsCancellationRequested;

    /// <summary>Ends all requests; the native memory is freed when those that run have stopped.</summary>
    /// <returns>Waits for that; null where waiting would never end, because the caller is a callback of a request.</returns>
    internal Action? BeginDispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _disposing.Cancel();
            _front.TryPost(() =>
            {
                _model.Unload();
                NativeLog.Detach(_logger);
            });
            _front.Complete();
        }
        return IsOwnThread ? null : _front.Join;
    }

    /// <summary>Ends all requests and, where it can, waits until the native memory is freed.</summary>
    public void Dispose() => BeginDispose()?.Invoke();

    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    internal void ThrowIfDisposed()
    {
        if (IsDisposed)
        {
            throw Disposed();
        }
    }

    internal static ObjectDisposedException Disposed() => new(typeof(ForetokenChatClient).FullName);

    private void Lost(SlotPool<InferenceSlot> pool) => Volatile.Write(ref _lostPool, pool);

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

    /// <summary>
    /// Frees a model that was lost with a server, once nobody is in its slots, so that it can be loaded again. In turn: nobody
    /// else asks for a slot meanwhile, and those who wait for one get it first, and fail.
    /// </summary>
    private async Task UnloadIfLostAsync(CancellationToken cancellationToken)
    {
        // a shared model is not this client's to load again
        if (!_model.OwnsModel || Volatile.Read(ref _lostPool) is not { } lost || lost != _model.Pool)
        {
            return;
        }
        List<InferenceSlot> idle = [];
        try
        {
            while (idle.Count < _model.Slots.Length)
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
                _model.Unload();
                Volatile.Write(ref _lostPool, null);
                return true;
            })
            .ConfigureAwait(false);
    }
}
