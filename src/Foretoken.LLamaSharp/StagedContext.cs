using Foretoken.Errors;
using Foretoken.Interop;
using Foretoken.Sessions;
using LLama;
using LLama.Abstractions;
using LLama.Native;

namespace Foretoken.LLamaSharp;

/// <summary>Staged prefill in a context of LLamaSharp. Everything else, sampling and decoding above all, stays LLamaSharp's.</summary>
/// <remarks>
/// <para>Not thread-safe, like the context; nothing may use the context while a prompt is prefilled.</para>
/// <para>
/// The context may be disposed before this object, and its memory is freed once both are. Disposing this object leaves the context
/// usable: what its cache holds stays thinned as it is.
/// </para>
/// </remarks>
public sealed class StagedContext : IDisposable
{
    private readonly LLamaContext _context;
    private readonly ForetokenModel _model;
    private readonly ForetokenSession _session;
    private bool _disposed;

    /// <summary>Makes staged prefill possible in a context.</summary>
    /// <param name="context">The context, in which nothing was decoded yet.</param>
    /// <exception cref="InvalidOperationException">LLamaSharp does not run on the native library of Foretoken.</exception>
    /// <exception cref="UnsupportedModelException">The KV cache is not empty, or the model's memory cannot be staged.</exception>
    /// <exception cref="ObjectDisposedException">The context is disposed.</exception>
    public StagedContext(LLamaContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (!ForetokenNativeLibraryConfigExtensions.IsLoaded)
        {
            throw new InvalidOperationException(
                "LLamaSharp has loaded another native library than Foretoken's. Call NativeLibraryConfig.LLama.WithForetoken() before anything else of LLamaSharp."
            );
        }
        _context = context;
        SafeLLamaContextHandle handle = context.NativeHandle;
        bool added = false;
        // throws when the context is disposed; it keeps its model alive in turn
        handle.DangerousAddRef(ref added);
        try
        {
            _model = ForetokenModel.Attach(
                handle.ModelHandle.DangerousGetHandle(),
                (context.Params as IModelParams)?.ModelPath ?? ""
            );
            try
            {
                _session = _model.AttachSession(handle.DangerousGetHandle());
            }
            catch
            {
                _model.Dispose();
                throw;
            }
        }
        catch
        {
            handle.DangerousRelease();
            throw;
        }
    }

    /// <summary>
    /// Prefills the prompt of a new conversation, all but its last token, and tells an executor so. It then answers as ever:
    /// <c>executor.InferAsync(prompt)</c> with the same prompt, of which it decodes only the last token by itself.
    /// </summary>
    /// <param name="executor">An executor on this context. What it did before is forgotten.</param>
    /// <param name="prompt">
    /// The prompt as the executor would get it. As there, the spelling of control tokens in it is read as control tokens.
    /// </param>
    /// <param name="request">What is asked for; null for plain prefill.</param>
    /// <param name="progress">Receives the progress after each chunk, on the thread that computes.</param>
    /// <param name="cancellationToken">Stops the prefill, at the latest after the running chunk's current operation.</param>
    /// <returns>What was promised and done, counting the tokens that were prefilled here.</returns>
    /// <remarks>
    /// The whole context is emptied first, other sequences included. After a failure or cancellation it is empty and the executor is
    /// as it was.
    /// </remarks>
    /// <exception cref="ArgumentException">The executor has another context, or the prompt less than two tokens.</exception>
    /// <exception cref="ContextFullException">The prompt is longer than the context.</exception>
    /// <exception cref="OperationCanceledException">The prefill was cancelled.</exception>
    /// <exception cref="ComputeException">The computation failed.</exception>
    /// <exception cref="ObjectDisposedException">This object is disposed.</exception>
    public async Task<PrefillReport> PrefillAsync(
        InteractiveExecutor executor,
        string prompt,
        PrefillRequest? request = null,
        IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(executor);
        ArgumentNullException.ThrowIfNull(prompt);
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!ReferenceEquals(executor.Context, _context))
        {
            throw new ArgumentException("The executor works on another context.", nameof(executor));
        }
        // as the executor tokenises the first text of a conversation
        LLamaToken[] tokens = _context.Tokenize(prompt, addBos: true, special: true);
        if (tokens.Length < 2)
        {
            throw new ArgumentException(
                $"The prompt has {tokens.Length} tokens; prefill needs two at least, since the executor decodes the last one.",
                nameof(prompt)
            );
        }

        PrefillReport report = await Task
            .Factory.StartNew(
                () =>
                {
                    // the executor may have decoded since, which the session does not know of
                    _session.Clear();
                    return _session.Prefill(
                        Array.ConvertAll(tokens[..^1], token => (int)token),
                        request,
                        progress,
                        cancellationToken
                    );
                },
                cancellationToken,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default
            )
            .ConfigureAwait(false);

        // the tokens of a session file are those that an executor finds in its cache
        await executor
            .LoadState(
                new InteractiveExecutor.InteractiveExecutorState
                {
                    IsPromptRun = true,
                    SessionTokens = tokens[..^1],
                    EmbedInps = [],
                    Embeds = [],
                    LastTokens = [],
                    LastTokensCapacity = checked((int)_context.ContextSize),
                },
                CancellationToken.None
            )
            .ConfigureAwait(false);
        return report;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }
        _disposed = true;
        _session.Dispose();
        _model.Dispose();
        _context.NativeHandle.DangerousRelease();
    }
}
