using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Foretoken.Chat;
using Foretoken.Diagnostics;
using Foretoken.Inference;
using Foretoken.Interop;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken;

/// <summary>A chat client on a local Llama-family model that answers sooner by a factor that is asked for.</summary>
/// <remarks>
/// <para>
/// Thread-safe. Requests queue for the model's one slot, first come first served, and can be cancelled while they wait. All
/// heavy work runs on a thread of the client; a cancelled request stops within one chunk of its prefill or one token of its
/// answer. A failed or cancelled request leaves the client usable.
/// </para>
/// <para>
/// The client is stateless to its callers: send the whole history with each request. What the KV cache holds of it is reused,
/// under the rules of <see cref="ForetokenSession"/>.
/// </para>
/// <para>
/// Of <see cref="ChatOptions"/> it honours temperature (unset: greedy, or 1 when top-p, top-k or min-p is set), top-p,
/// top-k, penalties, seed, maximal tokens, stop sequences, instructions, JSON and JSON schema response formats, functions
/// and tool mode, and of the additional properties <c>target_ttft_speedup</c>, <c>importance</c> and <c>min_p</c>. A
/// conversation id, background responses and hosted tools, and functions where the model's template knows of none, are refused with <see cref="NotSupportedException"/>.
/// </para>
/// <para>
/// <see cref="Dispose"/> is safe at any moment: running and waiting requests end with <see cref="ObjectDisposedException"/>,
/// and the native memory is freed when the running one has stopped.
/// </para>
/// </remarks>
public sealed class ForetokenChatClient : IChatClient, IAsyncDisposable
{
    private readonly ForetokenChatClientOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly InferenceThread _thread;
    private readonly SemaphoreSlim _slot = new(1, 1);
    private readonly CancellationTokenSource _disposing = new();
    private readonly bool _ownsModel;
    private ChatClientMetadata? _metadata;
    private int _disposed;

    // written on the inference thread only
    private ForetokenModel? _model;
    private ForetokenSession? _session;
    private ChatTemplate? _template;

    /// <summary>Creates a client. The model is checked now and loaded by the first request, or by <see cref="LoadAsync"/>.</summary>
    /// <param name="options">The options; copied.</param>
    /// <exception cref="ArgumentException">No model path.</exception>
    /// <exception cref="ModelLoadException">The model file is missing, not GGUF, truncated or inconsistent.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    public ForetokenChatClient(ForetokenChatClientOptions options)
        : this(CheckModelPath(options), model: null) { }

    /// <summary>Creates a client on a loaded model, which may be shared and stays the caller's to dispose.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">The options; copied. The model path and GPU layers are ignored: the model is loaded already.</param>
    public ForetokenChatClient(ForetokenModel model, ForetokenChatClientOptions? options = null)
        : this(options ?? new ForetokenChatClientOptions(), model ?? throw new ArgumentNullException(nameof(model))) { }

    private ForetokenChatClient(ForetokenChatClientOptions options, ForetokenModel? model)
    {
        _options = options.Clone();
        _logger = _options.LoggerFactory?.CreateLogger("Foretoken") ?? NullLogger.Instance;
        _time = _options.TimeProvider;
        _model = model;
        _ownsModel = model is null;
        _thread = new InferenceThread("Foretoken inference");
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
            await _thread
                .Run(() =>
                {
                    EnsureLoaded(progress, linked.Token);
                    return true;
                })
                .ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
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
        if (updates[^1].GetPrefillReport() is { } report)
        {
            (response.AdditionalProperties ??= [])[ForetokenChatOptionsExtensions.PrefillReportKey] = report;
            (response.Messages[^1].AdditionalProperties ??= [])[ForetokenChatOptionsExtensions.PrefillReportKey] =
                report;
        }
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
        return StreamAsync(ChatRequest.Create(messages, options, _options, _logger), cancellationToken);
    }

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null)
        {
            return null;
        }
        if (serviceType == typeof(ChatClientMetadata))
        {
            return _metadata ??= new ChatClientMetadata(ForetokenMeter.ProviderName, null, ModelId);
        }
        if (serviceType == typeof(ForetokenModel))
        {
            return Volatile.Read(ref _model);
        }
        return serviceType.IsInstanceOfType(this) ? this : null;
    }

    /// <summary>
    /// Ends all requests and waits until the running one has stopped, which it does within one chunk of its prefill; then frees
    /// the native memory. Called from a progress callback, it does not wait.
    /// </summary>
    public void Dispose()
    {
        BeginDispose();
        // a progress callback may dispose the client it reports about
        if (!_thread.IsCurrent)
        {
            _thread.Join();
        }
    }

    /// <summary>Disposes the client like <see cref="Dispose"/>, without blocking while the running request stops.</summary>
    public async ValueTask DisposeAsync()
    {
        BeginDispose();
        if (!_thread.IsCurrent)
        {
            await Task.Run(_thread.Join).ConfigureAwait(false);
        }
    }

    private static ForetokenChatClientOptions CheckModelPath(ForetokenChatClientOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.ModelPath.Length == 0)
        {
            throw new ArgumentException(
                "ForetokenChatClientOptions.ModelPath is not set; it is the path of a GGUF file.",
                nameof(options)
            );
        }
        ForetokenModel.CheckFile(options.ModelPath, options.ToModelOptions());
        return options;
    }

    private string ModelId => Path.GetFileNameWithoutExtension(_model?.Path ?? _options.ModelPath);

    private void BeginDispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }
        _disposing.Cancel();
        _thread.TryPost(() =>
        {
            _template?.Dispose();
            _session?.Dispose();
            if (_ownsModel)
            {
                _model?.Dispose();
            }
            NativeLog.Detach(_logger);
        });
        _thread.Complete();
    }

    private CancellationTokenSource Link(CancellationToken cancellationToken) =>
        CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _disposing.Token);

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        ChatRequest request,
        [EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        using CancellationTokenSource linked = Link(cancellationToken);
        long queued = _time.GetTimestamp();
        try
        {
            await _slot.WaitAsync(linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ObjectDisposedException(GetType().FullName);
        }

        Channel<ChatResponseUpdate> updates = Channel.CreateUnbounded<ChatResponseUpdate>(
            new UnboundedChannelOptions { SingleReader = true, SingleWriter = true }
        );
        TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Activity? parent = Activity.Current;
        bool posted = _thread.TryPost(() =>
        {
            Exception? error = null;
            try
            {
                Answer(request, updates.Writer, _time.GetElapsedTime(queued), parent, linked.Token);
            }
#pragma warning disable CA1031 // handed over to the caller through the channel
            catch (Exception e)
#pragma warning restore CA1031
            {
                error = e;
            }
            // the next request may start before this one's reader has seen the end
            _slot.Release();
            updates.Writer.Complete(Translate(error, request, cancellationToken));
            finished.SetResult();
        });
        if (!posted)
        {
            _slot.Release();
            throw new ObjectDisposedException(GetType().FullName);
        }

        try
        {
            // not cancellable here: cancellation goes through the engine, which ends the channel when it has stopped
            await foreach (
                ChatResponseUpdate update in updates.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false)
            )
            {
                yield return update;
            }
        }
        finally
        {
            // a reader that leaves early ends the request; the token source lives until the engine has let go of it
            await linked.CancelAsync().ConfigureAwait(false);
            await finished.Task.ConfigureAwait(false);
        }
    }

    /// <summary>The exception that the caller sees.</summary>
    private Exception? Translate(Exception? error, ChatRequest request, CancellationToken cancellationToken)
    {
        switch (error)
        {
            case null:
                return null;
            case OperationCanceledException:
                _logger.Cancelled(request.ResponseId);
                return Volatile.Read(ref _disposed) != 0 && !cancellationToken.IsCancellationRequested
                    ? new ObjectDisposedException(GetType().FullName)
                    : new OperationCanceledException("The request was cancelled.", error, cancellationToken);
            default:
                _logger.Failed(error, request.ResponseId);
                return error;
        }
    }

    private void EnsureLoaded(IProgress<float>? progress, CancellationToken cancellationToken)
    {
        if (_template is not null)
        {
            return;
        }
        NativeLibraryInfo library = NativeLoader.EnsureLoaded();
        if (_options.LoggerFactory is not null)
        {
            NativeLog.Attach(_logger);
        }
        _model ??= ForetokenModel.Load(_options.ModelPath, _options.ToModelOptions(), progress, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        _session ??= _model.CreateSession(_options.ToSessionOptions());
        _template = new ChatTemplate(_model, _options.ChatTemplate);
        _logger.ModelLoaded(
            _model.Path,
            _model.Info.Description,
            _model.Info.LayerCount,
            _session.ContextSize,
            library.LlamaRelease,
            library.PatchHash
        );
        if (_session.NotStagedReason is { } reason)
        {
            _logger.NotStaged(reason);
        }
    }

    /// <summary>One request, on the inference thread, with the slot held.</summary>
    private void Answer(
        ChatRequest request,
        ChannelWriter<ChatResponseUpdate> updates,
        TimeSpan queueTime,
        Activity? parent,
        CancellationToken cancellationToken
    )
    {
        long start = _time.GetTimestamp();
        using Activity? activity = ForetokenMeter.Source.StartActivity(
            $"chat {ModelId}",
            ActivityKind.Internal,
            parent?.Context ?? default
        );
        activity?.SetTag("gen_ai.operation.name", "chat");
        activity?.SetTag("gen_ai.provider.name", ForetokenMeter.ProviderName);
        activity?.SetTag("gen_ai.request.model", ModelId);
        activity?.SetTag("foretoken.prefill.speedup.target", request.TargetTtftSpeedup);

        cancellationToken.ThrowIfCancellationRequested();
        EnsureLoaded(progress: null, cancellationToken);
        ForetokenModel model = _model!;
        ForetokenSession session = _session!;

        using ChatPrompt prompt = _template!.Render(request.RenderJson);
        if (
            request.ToolNames.FirstOrDefault(name => !prompt.Info.Text.Contains(name, StringComparison.Ordinal)) is
            { } unseen
        )
        {
            throw new NotSupportedException(
                $"The chat template of this model has no place for functions, so it would never know of '{unseen}'. Use a model that was trained to call functions, or give a template that describes them in ForetokenChatClientOptions.ChatTemplate."
            );
        }
        // an answer needs room for one token at least
        if (prompt.Tokens.Length + 1 > session.ContextSize)
        {
            throw new ContextFullException(prompt.Tokens.Length + 1, session.ContextSize);
        }
        using Sampler sampler = model.CreateSampler(
            request.Sampling with
            {
                Grammar = prompt.Info.Grammar is { Length: > 0 } grammar ? grammar : null,
                GrammarLazy = prompt.Info.GrammarLazy,
                GrammarTriggersJson = prompt.Info.GrammarLazy ? prompt.Info.GrammarTriggers.GetRawText() : null,
            }
        );
        PrefillReport report = session.Prefill(
            prompt.Tokens,
            new PrefillRequest
            {
                TargetTtftSpeedup = request.TargetTtftSpeedup,
                Importance = request.Importance,
                Strict = request.Strict,
                Origins = prompt.Origins,
            },
            request.Progress,
            cancellationToken
        );
        _logger.Prefilled(
            report.PromptTokens,
            report.ReusedTokens,
            report.PrefillTime.TotalMilliseconds,
            report.TargetSpeedup,
            report.PromisedSpeedup,
            report.Reason
        );

        AnswerReader reader = new(model, prompt, request);
        ChatFinishReason finish = ChatFinishReason.Length;
        int outputTokens = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int token = session.Sample(sampler);
            if (outputTokens == 0)
            {
                report = report with { TimeToFirstToken = _time.GetElapsedTime(start), QueueTime = queueTime };
                ForetokenMeter.Record(ModelId, report);
            }
            if (model.IsEndOfGeneration(token))
            {
                finish = ChatFinishReason.Stop;
                break;
            }
            outputTokens++;
            Write(reader.Append(token));
            if (reader.Stopped)
            {
                finish = ChatFinishReason.Stop;
                break;
            }
            if (outputTokens == request.MaxOutputTokens || session.TokenCount == session.ContextSize)
            {
                break;
            }
            session.Decode(token, cancellationToken);
        }

        List<AIContent> rest = reader.Finish();
        if (rest.Exists(content => content is FunctionCallContent))
        {
            finish = ChatFinishReason.ToolCalls;
        }
        if (reader.ParseError is { } parseError)
        {
            _logger.UnparsedAnswer(parseError);
        }
        rest.Add(
            new UsageContent(
                new UsageDetails
                {
                    InputTokenCount = report.PromptTokens,
                    OutputTokenCount = outputTokens,
                    TotalTokenCount = report.PromptTokens + outputTokens,
                    CachedInputTokenCount = report.ReusedTokens,
                    AdditionalCounts = new AdditionalPropertiesDictionary<long>
                    {
                        ["foretoken.cached_tokens"] = report.ReusedTokens,
                        ["foretoken.computed_tokens"] = report.NewTokens,
                    },
                }
            )
        );
        ChatResponseUpdate last = Update(rest);
        last.FinishReason = finish;
        last.AdditionalProperties = new() { [ForetokenChatOptionsExtensions.PrefillReportKey] = report };
        updates.TryWrite(last);

        activity?.SetTag("gen_ai.usage.input_tokens", report.PromptTokens);
        activity?.SetTag("gen_ai.usage.output_tokens", outputTokens);
        activity?.SetTag("foretoken.prefill.speedup.promised", report.PromisedSpeedup);
        _logger.Responded(request.ResponseId, finish.Value, outputTokens, report.TimeToFirstToken.TotalMilliseconds);

        void Write(List<AIContent> contents)
        {
            if (contents.Count > 0)
            {
                updates.TryWrite(Update(contents));
            }
        }

        ChatResponseUpdate Update(List<AIContent> contents) =>
            new(ChatRole.Assistant, contents)
            {
                ResponseId = request.ResponseId,
                MessageId = request.ResponseId,
                ModelId = ModelId,
                CreatedAt = _time.GetUtcNow(),
            };
    }
}
