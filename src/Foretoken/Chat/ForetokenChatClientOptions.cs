using Foretoken.Chat;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Microsoft.Extensions.Logging;

namespace Foretoken;

/// <summary>Options of a <see cref="ForetokenChatClient"/>. The client copies them when it is created; later changes have no effect.</summary>
public sealed class ForetokenChatClientOptions
{
    private string _modelPath = "";
    private double? _maxQualityLoss;
    private double? _targetDecodeSpeedup;
    private string? _importance;
    private string? _profilePath;
    private string? _cacheFolder;
    private string? _modelId;
    private int _contextSize;
    private int _threads;
    private int _slots = 1;
    private int _gpuLayers;
    private int _batchSize = 2048;
    private int _ubatchSize = 512;
    private int _maxOutputTokens = 1024;

    /// <summary>The GGUF file; of a split model, its first shard. Required unless the client is given a loaded model.</summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string ModelPath
    {
        get => _modelPath;
        set
        {
            ArgumentException.ThrowIfNullOrEmpty(value);
            _modelPath = value;
        }
    }

    /// <summary>
    /// The id of the model in responses, metadata and telemetry. Default null: the name of the file, without its extension and, of a
    /// split model, without the number of the shard.
    /// </summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string? ModelId
    {
        get => _modelId;
        set => _modelId = OptionCheck.NotEmpty(value);
    }

    /// <summary>
    /// By what factor the time to first token shall shrink, 1 to 1,000; 1.5 to 3 are useful values. Default 1: nothing is left
    /// out, unless <see cref="MaxQualityLoss"/> is set; that alone asks for as much speed as it allows. A request overrides it
    /// with <see cref="ForetokenChatOptionsExtensions.WithTargetTtftSpeedup"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    public double TargetTtftSpeedup
    {
        get => AskedSpeedup ?? 1;
        set => AskedSpeedup = PrefillPlanner.EnsureValidTarget(value, nameof(TargetTtftSpeedup));
    }

    /// <summary>
    /// By what factor the time of every output token shall shrink, 1 to 1,000, beside that to the first; 1.05 to 1.3 are useful
    /// values. Needs a profile that knows what layers the model can do without (<c>foretoken tune --skips</c>) to reach more than
    /// leaving out tokens does. Default null: not asked for. A request overrides it with
    /// <see cref="ForetokenChatOptionsExtensions.WithTargetDecodeSpeedup"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    public double? TargetDecodeSpeedup
    {
        get => _targetDecodeSpeedup;
        set =>
            _targetDecodeSpeedup = value is { } target
                ? PrefillPlanner.EnsureValidDecodeTarget(target, nameof(TargetDecodeSpeedup))
                : null;
    }

    /// <summary>
    /// Quality that may be lost, as KL divergence from full prefill in nats, above 0; 0.05 to 0.5 are useful values. The
    /// fastest plan within it is used; with a target beside it, whichever is more careful decides. Needs a model with a tuned
    /// profile; without, prefill is plain and the report says why. Default null: no budget. A request overrides it with
    /// <see cref="ForetokenChatOptionsExtensions.WithMaxQualityLoss"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a finite number above 0.</exception>
    public double? MaxQualityLoss
    {
        get => _maxQualityLoss;
        set =>
            _maxQualityLoss = value is { } loss
                ? PrefillPlanner.EnsureValidQualityLoss(loss, nameof(MaxQualityLoss))
                : null;
    }

    /// <summary>
    /// Let fewer tokens go on than planned where their importance does not pass its threshold, so that a prompt with little in
    /// it is faster than promised. Default false: fixed shares. Changes nothing with an importance that has no threshold, or
    /// with <see cref="MaxQualityLoss"/>. A request overrides it with
    /// <see cref="ForetokenChatOptionsExtensions.WithThresholds"/>.
    /// </summary>
    public bool UseThresholds { get; set; }

    /// <summary>
    /// The model's profile, which <c>foretoken tune</c> makes. Default null: <c>model.foretoken.gguf</c> beside
    /// <c>model.gguf</c>, where there is one.
    /// </summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string? ProfilePath
    {
        get => _profilePath;
        set => _profilePath = OptionCheck.NotEmpty(value);
    }

    /// <summary>
    /// Whether a profile is used. Default true. False: none is looked for, and <see cref="ProfilePath"/> does not matter.
    /// </summary>
    public bool UseProfile { get; set; } = true;

    /// <summary>
    /// Whether a passage that upper layers dropped is brought back when the answer begins to quote it, see
    /// <see cref="SessionOptions.RestoreQuotes"/>. Default true.
    /// </summary>
    public bool RestoreQuotes { get; set; } = true;

    /// <summary>
    /// How a thinned prefill goes on behind the first output token. Default null: as <see cref="CompletionOptions"/> says by default
    /// where the model has a tuned profile (idle completion only with one slot), and never where it has none. A request overrides
    /// when with <see cref="ForetokenChatOptionsExtensions.WithCompletion"/>.
    /// </summary>
    public CompletionOptions? Completion { get; set; }

    /// <summary>
    /// Whether plans and promises rest on times that were measured on this machine, see
    /// <see cref="MeasuredPrefillCost"/>: those that are cached, and those of the prefills that run. Default true. False:
    /// operations are counted, so that the same request always gets the same plan.
    /// </summary>
    public bool UseMeasuredCosts { get; set; } = true;

    /// <summary>
    /// Folder for what is measured on this machine. Default null: the environment variable <c>FORETOKEN_CACHE</c>, otherwise
    /// <c>foretoken</c> in the user's cache folder (<c>XDG_CACHE_HOME</c> or <c>~/.cache</c>; on Windows the local application
    /// data).
    /// </summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string? CacheFolder
    {
        get => _cacheFolder;
        set => _cacheFolder = OptionCheck.NotEmpty(value);
    }

    /// <summary>
    /// When the client measures by itself what prefills take. Default <see cref="CalibrationMode.WarmUp"/>: only while it is
    /// warmed up by <c>AddForetokenWarmUp</c>; a request never waits for it.
    /// </summary>
    public CalibrationMode Calibration { get; set; }

    /// <summary>
    /// Name of the importance that ranks tokens, as in <see cref="ImportancePolicies"/>. Default null: <c>learned</c> where the
    /// model has a profile, otherwise <see cref="ImportancePolicies.Default"/>.
    /// A request overrides it with the additional property <c>importance</c>.
    /// </summary>
    /// <exception cref="ArgumentException">There is no such importance.</exception>
    public string? Importance
    {
        get => _importance;
        set
        {
            ImportancePolicies.EnsureKnown(value);
            _importance = value;
        }
    }

    /// <summary>
    /// Throw <see cref="PlanUnreachableException"/> when a speedup is out of reach, instead of coming as close as
    /// possible, and <see cref="QualityLossUnknownException"/> when a quality budget is given and no loss was
    /// measured. Default false.
    /// </summary>
    public bool StrictSpeedup { get; set; }

    /// <summary>
    /// LoRA adapters that are loaded with the model. A request computes with all of them at their own scales, unless it names
    /// some with <see cref="ForetokenChatOptionsExtensions.WithLoraAdapters(Microsoft.Extensions.AI.ChatOptions, IReadOnlyDictionary{string, float})"/>. Default none.
    /// </summary>
    /// <exception cref="ArgumentException">A name or path is empty, a name is given twice, or a scale is not a finite number.</exception>
    public IReadOnlyList<LoraAdapterOptions> Adapters
    {
        get;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            LoraAdapterSet.Check(value);
            field = [.. value.Select(adapter => adapter with { })];
        }
    } = [];

    /// <summary>
    /// Requests that are answered at the same time, and conversations whose keys and values are kept for reuse. Each slot has a
    /// KV cache of <see cref="ContextSize"/> tokens, allocated when the model is loaded; the weights are shared. Default 1.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int Slots
    {
        get => _slots;
        set => _slots = OptionCheck.Positive(value);
    }

    /// <summary>
    /// Tokens that the context of a slot holds, prompt and answer together. Default 0: the smaller of the model's training
    /// context and 8,192.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or above 1,073,741,824.</exception>
    public int ContextSize
    {
        get => _contextSize;
        set => _contextSize = OptionCheck.Between(value, 0, SessionOptions.MaxTokens);
    }

    /// <summary>Threads that compute in each slot. Default 0: the cores, shared out among the slots.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or above <see cref="SessionOptions.MaxThreads"/>.</exception>
    public int Threads
    {
        get => _threads;
        set => _threads = OptionCheck.Between(value, 0, SessionOptions.MaxThreads);
    }

    /// <inheritdoc cref="ModelOptions.GpuLayers"/>
    /// <exception cref="ArgumentOutOfRangeException">Less than -1.</exception>
    public int GpuLayers
    {
        get => _gpuLayers;
        set => _gpuLayers = OptionCheck.AtLeast(value, -1);
    }

    /// <inheritdoc cref="ModelOptions.Devices"/>
    public IReadOnlyList<string>? Devices
    {
        get;
        set => field = OptionCheck.Names(value);
    }

    /// <inheritdoc cref="ModelOptions.RpcServers"/>
    public IReadOnlyList<string>? RpcServers
    {
        get;
        set => field = OptionCheck.Names(value);
    }

    /// <summary>Tokens per chunk of a prefill; progress and cancellation come between chunks. Default 2,048.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive, or above 1,073,741,824.</exception>
    public int BatchSize
    {
        get => _batchSize;
        set => _batchSize = OptionCheck.Between(value, 1, SessionOptions.MaxTokens);
    }

    /// <summary>Tokens per computed graph (ubatch). Default 512.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive, or above 1,073,741,824.</exception>
    public int UBatchSize
    {
        get => _ubatchSize;
        set => _ubatchSize = OptionCheck.Between(value, 1, SessionOptions.MaxTokens);
    }

    /// <summary>Number format of the KV cache. Default <see cref="KvCacheType.F16"/>.</summary>
    public KvCacheType KvCacheType { get; set; }

    /// <summary>Whether attention is fused. Default <see cref="FlashAttentionMode.Auto"/>.</summary>
    public FlashAttentionMode FlashAttention { get; set; }

    /// <summary>Tokens of an answer when the request does not say. Default 1,024.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int MaxOutputTokens
    {
        get => _maxOutputTokens;
        set => _maxOutputTokens = OptionCheck.Positive(value);
    }

    /// <summary>A Jinja chat template to use instead of the model's own. Default null: the model's own.</summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string? ChatTemplate
    {
        get;
        set => field = OptionCheck.NotEmpty(value);
    }

    /// <summary>
    /// Whether functions can be called although the chat template does not know of them, or describes them without a format that is
    /// known here: they are then described in the system message, calls are bound by a JSON grammar and read back, and the report
    /// says so (<see cref="PrefillReport.UsesGenericTools"/>). Default false: such requests are refused, because a model that was not
    /// trained for it calls functions badly. Changes nothing where the template has a format of its own.
    /// </summary>
    public bool UseGenericTools { get; set; }

    /// <summary>
    /// Receives the progress of every prefill, on the thread that computes: return quickly. With several slots it is called
    /// from several threads. A request overrides it with <see cref="ForetokenChatOptionsExtensions.WithPrefillProgress"/>.
    /// </summary>
    public IProgress<PrefillProgress>? PrefillProgress { get; set; }

    /// <summary>Receives the logs of the client and of the native library. Default null: silent.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }

    /// <summary>The clock of timestamps and durations. Default <see cref="TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>The speedup if one was set; null leaves it to <see cref="MaxQualityLoss"/>.</summary>
    internal double? AskedSpeedup { get; private set; }

    /// <summary>A copy whose paths mean the same when the working folder changes before the model is loaded.</summary>
    internal ForetokenChatClientOptions Clone()
    {
        ForetokenChatClientOptions copy = (ForetokenChatClientOptions)MemberwiseClone();
        copy._modelPath = OptionCheck.FullPath(_modelPath)!;
        copy._profilePath = OptionCheck.FullPath(_profilePath);
        copy._cacheFolder = OptionCheck.FullPath(_cacheFolder);
        // its setter copies the adapters, names included, before their paths change
        copy.Adapters =
        [
            .. Adapters.Select(adapter => adapter with { Name = adapter.Name, Path = Path.GetFullPath(adapter.Path) }),
        ];
        return copy;
    }

    /// <exception cref="ArgumentException">No model path.</exception>
    /// <exception cref="ModelLoadException">The model file is missing, not GGUF, truncated or inconsistent.</exception>
    /// <exception cref="ModelProfileException">The profile cannot be used, or the importance needs one and there is none.</exception>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    internal void EnsureUsable()
    {
        if (ModelPath.Length == 0)
        {
            throw new ArgumentException(
                "ForetokenChatClientOptions.ModelPath is not set; it is the path of a GGUF file."
            );
        }
        ForetokenModel.CheckFile(ModelPath, ToModelOptions(), out ModelProfile? profile);
        ImportancePolicies.Get(Importance, profile?.Predictors);
    }

    internal ModelOptions ToModelOptions() =>
        new()
        {
            GpuLayers = GpuLayers,
            Devices = Devices,
            RpcServers = RpcServers,
            ProfilePath = ProfilePath,
            UseProfile = UseProfile,
            UseMeasuredCosts = UseMeasuredCosts,
            CacheFolder = CacheFolder,
        };

    internal SessionOptions ToSessionOptions() =>
        new()
        {
            ContextSize = ContextSize,
            // the threads of slots that compute at the same time must not wait for each other's cores
            Threads = Threads == 0 && Slots > 1 ? Math.Max(1, Environment.ProcessorCount / Slots) : Threads,
            BatchSize = BatchSize,
            UBatchSize = UBatchSize,
            KvCacheType = KvCacheType,
            FlashAttention = FlashAttention,
            RestoreQuotes = RestoreQuotes,
        };
}
