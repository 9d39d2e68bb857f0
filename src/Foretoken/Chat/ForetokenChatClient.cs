using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Foretoken.Chat;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
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
/// and tool mode, several calls at once where the template takes them back, reasoning, a
/// <see cref="SamplerOptions"/> or <see cref="Planning.SpeedOptions"/> as raw representation, and of the additional properties
/// <c>target_ttft_speedup</c>, <c>max_quality_loss</c>, <c>use_thresholds</c>, <c>importance</c>, <c>strict</c>,
/// <c>lora_adapters</c> and <c>min_p</c>. A conversation id, background responses and hosted tools,
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
    private readonly ChatClientMetadata _metadata;
    private readonly ChatEngine _engine;

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
        _metadata = new ChatClientMetadata(ForetokenMeter.ProviderName, ProviderUri, FindModelId(_options, model));
        _engine = new ChatEngine(_options, model, ModelId, _logger);
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
    public Task LoadAsync(IProgress<float>? progress = null, CancellationToken cancellationToken = default) =>
        _engine.LoadAsync(progress, cancellationToken);

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
    public Task<CalibrationResult> CalibrateAsync(
        CalibrationOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default
    ) => _engine.CalibrateAsync(options, progress, cancellationToken);

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
        _engine.ThrowIfDisposed();
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
            return _engine.Model.Pool is null ? null : new PromptCounter(this);
        }
        if (serviceType == typeof(ForetokenModel))
        {
            return _engine.Model.Model;
        }
        if (serviceType == typeof(ForetokenSession))
        {
            return _engine.Model.Slots is [{ } only] ? only.Session : null;
        }
        return serviceType.IsInstanceOfType(this) ? this : null;
    }

    /// <summary>
    /// Ends all requests and waits until the running ones have stopped, which they do within one chunk of their prefill; then
    /// frees the native memory. Called from a progress callback, it does not wait.
    /// </summary>
    public void Dispose() => _engine.Dispose();

    /// <summary>Disposes the client like <see cref="Dispose"/>, without blocking while running requests stop.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_engine.BeginDispose() is { } wait)
        {
            await Task.Run(wait).ConfigureAwait(false);
        }
    }

    /// <summary>Calibrates where nothing was measured before, if the options have it so, and until a request comes.</summary>
    internal Task CalibrateIfNewAsync(CancellationToken cancellationToken) =>
        _engine.CalibrateIfNewAsync(cancellationToken);

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
    internal ForetokenModel LoadedModel => Loaded(_engine.Model.Model);

    /// <exception cref="InvalidOperationException">The model is not loaded.</exception>
    internal int LoadedContextSize => Loaded(_engine.Model.Slots is [{ } first, ..] ? first : null).Session.ContextSize;

    /// <summary>Tokens of the prompt that a request would have.</summary>
    /// <exception cref="InvalidOperationException">The model is not loaded.</exception>
    internal int CountPrompt(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        ChatRequest request = ChatRequest.Create(messages, options, _options, NullLogger.Instance, this);
        using ChatPrompt prompt = Loaded(_engine.Model.Renderer).Render(request);
        return prompt.Tokens.Length;
    }

    private T Loaded<T>(T? part)
        where T : class
    {
        _engine.ThrowIfDisposed();
        return part
            ?? throw new InvalidOperationException(
                "The model is not loaded, or was lost with a server. Call LoadAsync, or send a request."
            );
    }

    /// <summary>Slots that no request holds; null until the model is loaded.</summary>
    internal int? IdleSlots => _engine.Model.Pool?.IdleCount;

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        ChatRequest request,
        [EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        using CancellationTokenSource linked = _engine.Link(cancellationToken);
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
            await _engine.RunAsync(request, updates, telemetry, linked).ConfigureAwait(false);
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

    /// <summary>The exception that the caller sees.</summary>
    private Exception Translate(Exception error, ChatRequest request, CancellationToken cancellationToken)
    {
        if (_engine.IsBecauseOfDisposal(error, cancellationToken))
        {
            return ChatEngine.Disposed();
        }
        if (error is OperationCanceledException)
        {
            _logger.Cancelled(request.ResponseId);
            return new OperationCanceledException("The request was cancelled.", error, cancellationToken);
        }
        _logger.Failed(error, request.ResponseId);
        return error;
    }
}
