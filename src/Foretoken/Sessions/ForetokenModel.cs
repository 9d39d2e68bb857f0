using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Interop;
using Foretoken.Machine;
using Foretoken.Plans;
using Foretoken.Profiles;

namespace Foretoken.Sessions;

/// <summary>A loaded model: its weights, its vocabulary and its facts. Sessions compute with it.</summary>
/// <remarks>
/// Thread-safe; several sessions may share one model. Disposing it is safe at any moment: the weights are freed once the last
/// session, sampler or chat prompt made from it is disposed too.
/// </remarks>
public sealed class ForetokenModel : IDisposable
{
    private readonly SafeModelHandle _handle;
    private readonly ConcurrentDictionary<CostKey, CostTracker> _costs = [];
    private readonly Lazy<string?> _fingerprint;
    private readonly ModelOptions? _options;
    private readonly ModelFileInfo? _file;
    private int _disposed;

    private ForetokenModel(
        SafeModelHandle handle,
        string path,
        ModelFileInfo? file,
        ModelOptions? options,
        ModelProfile? profile
    )
    {
        // callers may change theirs later
        _options = options?.Clone();
        _file = file;
        _fingerprint = new(() => FindFingerprint(file, profile));
        _handle = handle;
        Path = path;
        Profile = profile;
        Info = ReadInfo(handle);
        // of an architecture that cannot be staged the file check reads no sizes, and no plan will be made for them
        Shape =
            file?.Shape
            ?? new ModelShape
            {
                LayerCount = Math.Max(1, Info.LayerCount),
                EmbeddingSize = Math.Max(1, Info.EmbeddingSize),
                HeadCount = Math.Max(1, Info.HeadCount),
                KvHeadCount = Math.Max(1, Info.KvHeadCount),
                FeedForwardSize = Math.Max(1, Info.FeedForwardSize),
                VocabularySize = Math.Max(1, Info.VocabularySize),
            };
    }

    /// <summary>The whole path of the file that the model was loaded from; of a split model, its first shard.</summary>
    public string Path { get; }

    /// <summary>What the file says about the model.</summary>
    public ModelInfo Info { get; }

    /// <summary>The model as the planner sees it: layers, widths, heads.</summary>
    internal ModelShape Shape { get; }

    /// <summary>Whether a tuned profile is in use: what <c>foretoken tune</c> learned about the model.</summary>
    public bool HasProfile => Profile is not null;

    /// <summary>What was learned about the model; null when it has no profile, or when it was loaded without.</summary>
    internal ModelProfile? Profile { get; }

    /// <summary>The native library in use. Loads it when no model was loaded yet.</summary>
    /// <exception cref="NativeLibraryException">It was not found, could not be loaded, or does not belong to this assembly.</exception>
    public static NativeLibraryInfo GetNativeLibrary() => NativeLoader.EnsureLoaded();

    /// <summary>The devices that the native library can compute on.</summary>
    /// <exception cref="NativeLibraryException">The library could not be loaded.</exception>
    public static unsafe IReadOnlyList<DeviceInfo> GetDevices()
    {
        NativeLoader.EnsureLoaded();
        string json = NativeCall.ReadText(NativeMethods.ftk_devices);
        return JsonSerializer.Deserialize(json, MachineJsonContext.Default.ListDeviceInfo)!;
    }

    /// <summary>Loads a model.</summary>
    /// <param name="path">GGUF file; of a split model, its first shard.</param>
    /// <param name="options">How to load it; null for the defaults.</param>
    /// <param name="progress">Receives the share that is loaded, 0 to 1, on the calling thread.</param>
    /// <param name="cancellationToken">Stops the loading.</param>
    /// <returns>The model; the caller disposes it.</returns>
    /// <exception cref="ModelLoadException">The file is missing, not GGUF, truncated or inconsistent.</exception>
    /// <exception cref="ModelProfileException">The profile is missing, damaged or of another model.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    /// <exception cref="DeviceUnavailableException">A device or server that the options ask for is not there.</exception>
    /// <exception cref="DeviceLostException">A server went away while the model was loaded.</exception>
    /// <exception cref="NativeLibraryException">The native library could not be loaded.</exception>
    /// <exception cref="OperationCanceledException">The loading was cancelled.</exception>
    public static unsafe ForetokenModel Load(
        string path,
        ModelOptions? options = null,
        IProgress<float>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ModelOptions();
        cancellationToken.ThrowIfCancellationRequested();
        // what is read later, such as the weights' fingerprint, is still the same file when the working folder has changed
        path = System.IO.Path.GetFullPath(path);
        ModelFileInfo file = CheckFile(path, options, out ModelProfile? profile);
        NativeLoader.EnsureLoaded();

        LoadCallback callback = new(progress, cancellationToken);
        GCHandle user = GCHandle.Alloc(callback);
        try
        {
            int status = NativeMethods.ftk_model_load(
                path,
                NativeConfig.Model(options),
                &OnLoadProgress,
                (void*)GCHandle.ToIntPtr(user),
                out SafeModelHandle handle
            );
            if (status != 0)
            {
                string message = NativeCall.LastError();
                handle.Dispose();
                callback.Error?.Throw();
                throw NativeCall.ToException((NativeStatus)status, message, cancellationToken);
            }
            return new ForetokenModel(handle, path, file, options, profile);
        }
        finally
        {
            user.Free();
        }
    }

    /// <summary>Loads a model on a thread of its own.</summary>
    /// <inheritdoc cref="Load"/>
    public static Task<ForetokenModel> LoadAsync(
        string path,
        ModelOptions? options = null,
        IProgress<float>? progress = null,
        CancellationToken cancellationToken = default
    ) =>
        Task.Factory.StartNew(
            () => Load(path, options, progress, cancellationToken),
            cancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default
        );

    /// <summary>
    /// A model that another library has loaded through the very native library that Foretoken uses
    /// (<see cref="GetNativeLibrary"/>). It stays that library's to free, after the result is disposed.
    /// </summary>
    /// <param name="llamaModel">The <c>llama_model *</c>. A pointer of another build of llama.cpp ends the process.</param>
    /// <param name="path">The file that it was loaded from; empty when unknown.</param>
    /// <returns>The model; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The pointer is null.</exception>
    /// <exception cref="NativeLibraryException">The native library could not be loaded.</exception>
    public static ForetokenModel Attach(nint llamaModel, string path = "")
    {
        ArgumentNullException.ThrowIfNull(path);
        NativeLoader.EnsureLoaded();
        int status = NativeMethods.ftk_model_attach(llamaModel, out SafeModelHandle handle);
        if (status != 0)
        {
            string message = NativeCall.LastError();
            handle.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        return new ForetokenModel(handle, path, file: null, options: null, profile: null);
    }

    /// <summary>
    /// A session on a context that another library has created of this model. Its prefill can be staged from then on; decoding
    /// and everything else stays with that library, which also frees the context, after the session is disposed.
    /// </summary>
    /// <param name="llamaContext">The <c>llama_context *</c>, with an empty KV cache. A pointer of another build of llama.cpp ends the process.</param>
    /// <remarks>
    /// The session works on sequence 0 and knows only of what went through itself: call <see cref="ForetokenSession.Clear"/>
    /// before a prefill when the other library has decoded since, which empties the whole context.
    /// </remarks>
    /// <exception cref="ArgumentException">The pointer is null.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="UnsupportedModelException">The KV cache is not empty, or the model cannot be staged.</exception>
    public ForetokenSession AttachSession(nint llamaContext) => new(this, llamaContext);

    /// <summary>What output tokens cost behind prefills in a KV cache of a format.</summary>
    internal DecodeCost GetDecodeCost(KvCacheType kvCacheType) =>
        new(Shape)
        {
            BytesPerWeight = Info.ParameterCount > 0 ? (double)Info.SizeBytes / Info.ParameterCount : 2,
            BytesPerKvNumber = kvCacheType switch
            {
                // blocks of 32 values with a scale of 16 bits
                KvCacheType.Q8 => 34.0 / 32,
                KvCacheType.Q4 => 18.0 / 32,
                KvCacheType.F32 => 4,
                _ => 2,
            },
        };

    /// <summary>Creates a session: a context with one empty sequence. The caller disposes it.</summary>
    /// <param name="options">How to create it; null for the defaults.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="UnsupportedModelException">Staging was asked for, and the model cannot be staged.</exception>
    /// <exception cref="InsufficientNativeMemoryException">No memory for the KV cache or the compute buffers.</exception>
    public ForetokenSession CreateSession(SessionOptions? options = null) => new(this, options ?? new SessionOptions());

    /// <summary>Loads a LoRA adapter of the model. The caller disposes it.</summary>
    /// <param name="path">GGUF file, as llama.cpp's <c>convert_lora_to_gguf.py</c> writes it.</param>
    /// <param name="name">Its name in reports; null for the file's name.</param>
    /// <remarks>
    /// Waits until no session of the model computes; what begins meanwhile waits for it: llama.cpp keeps a list of adapters,
    /// which computing reads. Of contexts that another library computes with (<see cref="AttachSession"/>) nothing is
    /// known here: load adapters while that library does not compute.
    /// </remarks>
    /// <exception cref="LoraAdapterException">The file is missing, damaged, no LoRA adapter, or one of another model.</exception>
    /// <exception cref="InvalidOperationException">It is called from within a computation, such as by a progress callback.</exception>
    /// <exception cref="UnsupportedModelException">It is an activated LoRA, which begins to work in the middle of a prompt.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public LoraAdapter LoadAdapter(string path, string? name = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new LoraAdapter(this, path, name);
    }

    /// <summary>Creates a sampler. The caller disposes it.</summary>
    /// <param name="options">How to choose tokens; null for greedy.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="GrammarException">The grammar or schema cannot be used.</exception>
    public Sampler CreateSampler(SamplerOptions? options = null) => new(this, options ?? new SamplerOptions());

    /// <summary>The tokens of a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecial">Add the tokens that the model expects around a text, such as the beginning-of-sequence token.</param>
    /// <param name="parseSpecial">Read the spelling of control tokens as control tokens. Never for text from users.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public unsafe int[] Tokenize(string text, bool addSpecial = false, bool parseSpecial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        int[] tokens = new int[utf8.Length + 4];
        while (true)
        {
            long needed;
            int status;
            // an empty array has no address: pin a byte instead
            fixed (byte* bytes = utf8.Length == 0 ? new byte[1] : utf8)
            fixed (int* p = tokens)
            {
                status = NativeMethods.ftk_tokenize(
                    _handle,
                    bytes,
                    utf8.Length,
                    addSpecial ? 1 : 0,
                    parseSpecial ? 1 : 0,
                    p,
                    tokens.Length,
                    out needed
                );
            }
            if (status == (int)NativeStatus.BufferTooSmall)
            {
                tokens = new int[checked((int)Math.Max(needed, tokens.Length * 2L))];
                continue;
            }
            NativeCall.Check(status);
            return tokens[..(int)needed];
        }
    }

    /// <summary>The text of tokens; control tokens give none.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="special">Spell control tokens out.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public string Detokenize(ReadOnlySpan<int> tokens, bool special = false)
    {
        StreamingTextDecoder decoder = new();
        StringBuilder text = new();
        foreach (int token in tokens)
        {
            text.Append(decoder.Append(TokenBytes(token, special)));
        }
        return text.Append(decoder.Flush()).ToString();
    }

    /// <summary>The bytes of one token. They need not be whole UTF-8 characters; see <see cref="StreamingTextDecoder"/>.</summary>
    /// <param name="token">The token.</param>
    /// <param name="special">Spell a control token out; otherwise it has no bytes.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="ArgumentException">There is no such token.</exception>
    public unsafe byte[] TokenBytes(int token, bool special = false)
    {
        return NativeCall.ReadBytes(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_token_bytes(_handle, token, special ? 1 : 0, buffer, capacity, out needed),
            64
        );
    }

    /// <summary>Whether a token ends the generation.</summary>
    /// <param name="token">The token.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public bool IsEndOfGeneration(int token) => NativeMethods.ftk_token_is_eog(_handle, token) == 1;

    /// <summary>Whether a token is a control token, which no text from a user may become.</summary>
    /// <param name="token">The token.</param>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public bool IsControlToken(int token) => NativeMethods.ftk_token_is_control(_handle, token) == 1;

    /// <summary>A value of the file's GGUF metadata as text.</summary>
    /// <param name="key">Key, for example <c>general.name</c>.</param>
    /// <returns>The value, or null when the file has no such key.</returns>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public unsafe string? GetMetadata(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        try
        {
            return NativeCall.ReadText(
                (byte* buffer, long capacity, out long needed) =>
                    NativeMethods.ftk_model_metadata(_handle, key, buffer, capacity, out needed)
            );
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _handle.Dispose();
        }
    }

    internal SafeModelHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
            return _handle;
        }
    }

    /// <summary>
    /// The weights of which the model has most, where the processor has no kernel for prefill with most of them; null where it has,
    /// where other devices compute, or where the file cannot be looked at.
    /// </summary>
    internal WeightKernel? FindSlowWeights()
    {
        if (_file is null || _options is null || _options.OffloadedLayers != 0)
        {
            return null;
        }
        try
        {
            return WeightKernels.FindSlow(WeightKernels.Find(_file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or GgufFormatException)
        {
            // a hint is not worth a failed load
            return null;
        }
    }

    /// <summary>What learns the times of sessions of a kind; null when plans rest on counting alone.</summary>
    /// <param name="session">How the sessions are created; null for one on a context of another library.</param>
    /// <param name="uBatchSize">Tokens per graph of the session.</param>
    internal CostTracker? GetCosts(SessionOptions? session, int uBatchSize)
    {
        if (_options is { UseMeasuredCosts: false })
        {
            return null;
        }
        if (_options is null || session is null || _fingerprint.Value is not { } fingerprint)
        {
            // nothing is known that could tell one file of times from another
            return new CostTracker(Shape, PrefillLayout.Of(Shape, Shape.LayerCount, uBatchSize));
        }
        return GetCosts(CostKeys.Of(fingerprint, Shape, _options, session, GetNativeLibrary()));
    }

    /// <summary>What learns the times of the same sessions with LoRA adapters.</summary>
    /// <param name="alone">What learns their times without.</param>
    /// <param name="adapters">As <see cref="CostKey.Adapters"/>.</param>
    internal CostTracker GetCosts(CostTracker alone, string adapters) =>
        alone.Key is { } key ? GetCosts(key with { Adapters = adapters }) : new CostTracker(Shape, alone.Layout);

    private CostTracker GetCosts(CostKey key) =>
        _costs.GetOrAdd(
            key,
            static (key, model) => CostTracker.Open(model.Shape, key, model.Path, model._options!.CacheFolder),
            this
        );

    private static string? FindFingerprint(ModelFileInfo? file, ModelProfile? profile)
    {
        try
        {
            // a profile was checked against the weights already
            return profile?.Fingerprint ?? (file is null ? null : ModelFingerprint.Compute(file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or GgufFormatException)
        {
            return null;
        }
    }

    /// <summary>The checks that need no native code, so that the common mistakes get a clear answer at once.</summary>
    /// <exception cref="ModelLoadException">The file is missing, not GGUF, truncated or inconsistent.</exception>
    /// <exception cref="ModelProfileException">The profile is missing, damaged or of another model.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    /// <exception cref="InsufficientNativeMemoryException">The model does not fit into memory.</exception>
    internal static ModelFileInfo CheckFile(string path, ModelOptions options, out ModelProfile? profile)
    {
        bool elsewhere =
            options.VocabularyOnly || options.Devices is { Count: > 0 } || options.RpcServers is { Count: > 0 };
        ModelFileCheckOptions checks = new()
        {
            // a model whose prefill cannot be staged still answers, at the speed of llama.cpp
            RequireStaging = false,
            // sessions bring their own KV caches, which the native library checks
            ContextSize = 1,
            GpuLayers = options.GpuLayers,
            AvailableMemoryBytes = elsewhere ? long.MaxValue : null,
        };
        try
        {
            ModelFileInfo file = ModelFileCheck.Check(path, checks);
            profile = options.UseProfile ? ProfileFile.Find(file, options.ProfilePath) : null;
            return file;
        }
        catch (ModelFileUnsupportedException e)
        {
            throw new UnsupportedModelException(e.Message, e);
        }
        catch (ModelFileTooLargeException e)
        {
            throw new InsufficientNativeMemoryException(e.Message, e);
        }
        catch (ModelFileException e)
        {
            throw new ModelLoadException(e.Message, e);
        }
    }

    private static unsafe ModelInfo ReadInfo(SafeModelHandle handle)
    {
        string json = NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_model_info(handle, buffer, capacity, out needed)
        );
        return JsonSerializer.Deserialize(json, SessionJsonContext.Default.ModelInfo)!;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static unsafe int OnLoadProgress(void* user, float progress)
    {
        LoadCallback callback = (LoadCallback)GCHandle.FromIntPtr((nint)user).Target!;
        return callback.Report(progress) ? 0 : 1;
    }

    private sealed class LoadCallback(IProgress<float>? progress, CancellationToken cancellationToken)
    {
        internal System.Runtime.ExceptionServices.ExceptionDispatchInfo? Error { get; private set; }

        internal bool Report(float fraction)
        {
            try
            {
                progress?.Report(fraction);
                return !cancellationToken.IsCancellationRequested;
            }
#pragma warning disable CA1031 // rethrown by Load; it must not unwind into native code
            catch (Exception e)
#pragma warning restore CA1031
            {
                Error = System.Runtime.ExceptionServices.ExceptionDispatchInfo.Capture(e);
                return false;
            }
        }
    }
}
