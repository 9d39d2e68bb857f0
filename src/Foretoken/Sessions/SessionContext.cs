using System.Text.Json;
using Foretoken.Interop;

namespace Foretoken.Sessions;

/// <summary>A native context with one sequence in it: what it was created with, and the calls into it.</summary>
internal sealed unsafe class SessionContext : IDisposable
{
    private const int Sequence = 0;

    // every adapter that was set once: the context keeps them until it is freed
    private readonly HashSet<LoraAdapter> _keptAdapters = [];
    private readonly SafeContextHandle _handle;
    private readonly SafeCancelHandle _cancel;
    private readonly ComputeGate _gate;
    private readonly int _layerCount;

    private SessionContext(SafeContextHandle handle, int status, SafeModelHandle model, int layerCount)
    {
        _layerCount = layerCount;
        _handle = handle;
        _gate = model.Gate;
        if (status != 0)
        {
            string message = NativeCall.LastError();
            handle.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        try
        {
            handle.KeepAlive(model);
            Info = ReadInfo(handle);
            NativeCall.Check(NativeMethods.ftk_cancel_create(out _cancel));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    internal ContextInfo Info { get; }

    /// <summary>Why prefill cannot be staged; null when it can.</summary>
    internal string? NotStagedReason { get; private init; }

    internal bool IsClosed => _handle.IsClosed;

    /// <summary>Whether there are logits to read.</summary>
    internal bool HasLogits { get; private set; }

    internal long KvBytes
    {
        get
        {
            NativeCall.Check(NativeMethods.ftk_seq_kv_bytes(_handle, Sequence, out long bytes));
            return bytes;
        }
    }

    internal long ResidualBytes
    {
        get
        {
            NativeCall.Check(NativeMethods.ftk_seq_store_bytes(_handle, Sequence, out long bytes));
            return bytes;
        }
    }

    /// <summary>The last position that is there; -1 when there is none.</summary>
    internal int LastPosition => NativeMethods.ftk_seq_pos_max(_handle, Sequence);

    internal static SessionContext Create(ForetokenModel owner, SessionOptions options, int contextSize)
    {
        SafeModelHandle model = owner.Handle;
        using ComputeGate.Computation reserving = model.Gate.Enter();
        string? notStaged = options.Staged == false ? "the session was created without staging" : null;
        int status = NativeMethods.ftk_context_create(
            model,
            NativeConfig.Context(options, contextSize, options.Staged ?? true),
            out SafeContextHandle handle
        );
        if (status == (int)NativeStatus.Unsupported && options.Staged is null)
        {
            notStaged = NativeCall.LastError();
            handle.Dispose();
            status = NativeMethods.ftk_context_create(
                model,
                NativeConfig.Context(options, contextSize, staged: false),
                out handle
            );
        }
        return new SessionContext(handle, status, model, owner.Info.LayerCount) { NotStagedReason = notStaged };
    }

    /// <summary>Uses a context that somebody else created and will free.</summary>
    internal static SessionContext Attach(ForetokenModel owner, nint llamaContext)
    {
        int status = NativeMethods.ftk_context_attach(llamaContext, out SafeContextHandle handle);
        return new SessionContext(handle, status, owner.Handle, owner.Info.LayerCount);
    }

    public void Dispose()
    {
        _handle.Dispose();
        _cancel.Dispose();
    }

    /// <summary>Prefills in stages.</summary>
    internal NativePrefillReport Prefill(
        PrefillDecision decision,
        ResidualStorage storage,
        ReadOnlySpan<int> tokens,
        int firstPosition,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        NativePrefillReport report;
        using (_gate.Enter(cancellationToken))
        {
            report = NotStagedReason is not null
                ? StockPrefill(tokens, firstPosition, progress, cancellationToken)
                : StagedPrefill.Run(
                    _handle,
                    _cancel,
                    decision,
                    storage,
                    tokens,
                    firstPosition,
                    progress,
                    cancellationToken
                );
        }
        HasLogits = true;
        return report;
    }

    internal void Decode(ReadOnlySpan<int> tokens, CancellationToken cancellationToken)
    {
        using (Cancelling(cancellationToken))
        using (_gate.Enter(cancellationToken))
        {
            HasLogits = false;
            DecodeOnce(tokens, cancellationToken);
            HasLogits = true;
        }
    }

    /// <summary>Removes the positions from one on.</summary>
    internal void RemoveFrom(int position)
    {
        HasLogits = false;
        NativeCall.Check(
            position == 0 ? NativeMethods.ftk_clear(_handle) : NativeMethods.ftk_seq_rm(_handle, Sequence, position, -1)
        );
    }

    /// <summary>There are no logits until the next prefill or decode.</summary>
    internal void DropLogits() => HasLogits = false;

    /// <summary>The positions that a layer holds, ascending.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="most">How many there may be.</param>
    internal int[] Positions(int layer, int most)
    {
        int[] positions = new int[most];
        fixed (int* p = most == 0 ? new int[1] : positions)
        {
            NativeCall.Check(NativeMethods.ftk_seq_positions(_handle, Sequence, layer, p, most, out long count));
            return positions[..(int)count];
        }
    }

    internal int Sample(Sampler sampler)
    {
        NativeCall.Check(NativeMethods.ftk_sampler_sample(sampler.Handle, _handle, out int token));
        return token;
    }

    internal float[] Logits(int vocabularySize)
    {
        float[] logits = new float[vocabularySize];
        fixed (float* p = logits)
        {
            NativeCall.Check(NativeMethods.ftk_logits(_handle, p, logits.Length));
        }
        return logits;
    }

    /// <summary>Runs tokens through the layers that lack them.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="positions">Their positions.</param>
    /// <param name="message">What went wrong, where something did.</param>
    /// <param name="cancellationToken">Looked at before anything runs.</param>
    /// <returns>The native status; nothing was changed when the context is full.</returns>
    internal NativeStatus Restore(
        ReadOnlySpan<int> tokens,
        ReadOnlySpan<int> positions,
        out string message,
        CancellationToken cancellationToken
    )
    {
        using (_gate.Enter(cancellationToken))
        {
            HasLogits = false;
            fixed (int* t = tokens)
            fixed (int* p = positions)
            {
                NativeStatus status = (NativeStatus)
                    NativeMethods.ftk_seq_restore(_handle, Sequence, t, p, positions.Length);
                message = status == 0 ? "" : NativeCall.LastError();
                return status;
            }
        }
    }

    /// <summary>Completes upper layers of a stretch, see <see cref="ForetokenSession.Complete"/>.</summary>
    /// <param name="grade">How.</param>
    /// <param name="tokens">Its tokens.</param>
    /// <param name="from">Position of the first one.</param>
    /// <param name="maxTokens">Tokens that run at most.</param>
    /// <param name="done">Tokens of the stretch that are complete now.</param>
    /// <param name="ran">Tokens that ran.</param>
    /// <param name="message">What went wrong, where something did.</param>
    /// <param name="cancellationToken">Looked at before anything runs.</param>
    internal NativeStatus Complete(
        CompletionGrade grade,
        ReadOnlySpan<int> tokens,
        int from,
        int maxTokens,
        out int done,
        out int ran,
        out string message,
        CancellationToken cancellationToken
    )
    {
        using (_gate.Enter(cancellationToken))
        {
            HasLogits = false;
            fixed (int* p = tokens)
            {
                NativeStatus status = (NativeStatus)
                    NativeMethods.ftk_seq_complete(
                        _handle,
                        Sequence,
                        (int)grade,
                        p,
                        tokens.Length,
                        from,
                        maxTokens,
                        out long doneTokens,
                        out long ranTokens
                    );
                (done, ran) = ((int)doneTokens, (int)ranTokens);
                message = status == 0 ? "" : NativeCall.LastError();
                return status;
            }
        }
    }

    /// <summary>Threads of computations of more than one token; 0 for those that the context was created with.</summary>
    internal void SetBatchThreads(int threads) =>
        NativeCall.Check(
            NativeMethods.ftk_context_set_threads(
                _handle,
                Info.Threads,
                threads == 0 ? Info.BatchThreads : Math.Min(threads, Info.BatchThreads)
            ),
            CancellationToken.None
        );

    internal void SetAdapters(ScaledAdapter[] adapters)
    {
        foreach ((LoraAdapter adapter, _) in adapters)
        {
            if (!_keptAdapters.Contains(adapter))
            {
                _handle.KeepAlive(adapter.Handle);
                _keptAdapters.Add(adapter);
            }
        }
        nint[] handles = [.. adapters.Select(adapter => adapter.Adapter.Handle.DangerousGetHandle())];
        float[] scales = [.. adapters.Select(adapter => adapter.Scale)];
        fixed (nint* p = handles)
        fixed (float* s = scales)
        {
            NativeCall.Check(NativeMethods.ftk_set_adapters(_handle, p, s, handles.Length));
        }
    }

    internal byte[] SaveState() =>
        NativeCall.ReadBytes(
            (byte* data, long capacity, out long needed) =>
                NativeMethods.ftk_seq_state_save(_handle, Sequence, data, capacity, out needed),
            1 << 20
        );

    internal void LoadState(ReadOnlySpan<byte> state)
    {
        fixed (byte* p = state)
        {
            NativeCall.Check(NativeMethods.ftk_seq_state_load(_handle, Sequence, p, state.Length));
        }
    }

    /// <summary>Stock decode, chunk by chunk for progress and cancellation, in a context that is not staged.</summary>
    private NativePrefillReport StockPrefill(
        ReadOnlySpan<int> tokens,
        int before,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
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
                    DecodeOnce(part, cancellationToken);
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
                    ? NativeMethods.ftk_clear(_handle)
                    : NativeMethods.ftk_seq_rm(_handle, Sequence, before, -1);
            throw;
        }
        long us = chunks.Sum();
        return new NativePrefillReport(us, 0, [new(0, _layerCount, tokens.Length, chunks.Count, us, chunks)]);
    }

    private void DecodeOnce(ReadOnlySpan<int> tokens, CancellationToken cancellationToken)
    {
        fixed (int* p = tokens)
        {
            NativeCall.Check(NativeMethods.ftk_decode(_handle, Sequence, p, tokens.Length, _cancel), cancellationToken);
        }
    }

    private CancellationTokenRegistration Cancelling(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return NativeCancellation.Arm(_cancel, cancellationToken);
    }

    private static ContextInfo ReadInfo(SafeContextHandle context)
    {
        string json = NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_context_info(context, buffer, capacity, out needed)
        );
        return JsonSerializer.Deserialize(json, SessionJsonContext.Default.ContextInfo)!;
    }
}
