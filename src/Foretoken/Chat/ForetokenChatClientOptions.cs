using Foretoken.Chat;
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
    private string? _modelId;
    private int _slots = 1;
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

    /// <summary>How the model is loaded: profile, devices, measured costs. Ignored where the client is given a loaded model.</summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public ModelOptions Model
    {
        get;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            field = value;
        }
    } = new();

    /// <summary>
    /// How the context of every slot is created: its size, threads, batches and KV cache. Of several slots, each has by default
    /// its share of the cores.
    /// </summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public SessionOptions Session
    {
        get;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            field = value;
        }
    } = new();

    /// <summary>
    /// The speed and quality of requests that do not say otherwise. A request overrides what it says itself: with a
    /// <see cref="SpeedOptions"/> from <see cref="Microsoft.Extensions.AI.ChatOptions.RawRepresentationFactory"/>, with
    /// <see cref="ForetokenChatOptionsExtensions"/>, or with additional properties. Default: nothing is left out.
    /// </summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public SpeedOptions Speed
    {
        get;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            field = value;
        }
    } = new();

    /// <summary>Short for <see cref="SpeedOptions.TargetTtftSpeedup"/> of <see cref="Speed"/>, 1 where that is not set.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    public double TargetTtftSpeedup
    {
        get => Speed.Target;
        set => Speed = Speed with { TargetTtftSpeedup = value };
    }

    /// <inheritdoc cref="SpeedOptions.TargetDecodeSpeedup"/>
    public double? TargetDecodeSpeedup
    {
        get => Speed.TargetDecodeSpeedup;
        set => Speed = Speed with { TargetDecodeSpeedup = value };
    }

    /// <inheritdoc cref="SpeedOptions.MaxQualityLoss"/>
    public double? MaxQualityLoss
    {
        get => Speed.MaxQualityLoss;
        set => Speed = Speed with { MaxQualityLoss = value };
    }

    /// <inheritdoc cref="SpeedOptions.UseThresholds"/>
    public bool UseThresholds
    {
        get => Speed.UseThresholds == true;
        set => Speed = Speed with { UseThresholds = value };
    }

    /// <inheritdoc cref="SpeedOptions.Strict"/>
    public bool StrictSpeedup
    {
        get => Speed.Strict == true;
        set => Speed = Speed with { Strict = value };
    }

    /// <inheritdoc cref="SpeedOptions.Importance"/>
    public string? Importance
    {
        get => Speed.Importance;
        set => Speed = Speed with { Importance = value };
    }

    /// <inheritdoc cref="ModelOptions.ProfilePath"/>
    public string? ProfilePath
    {
        get => Model.ProfilePath;
        set => Model.ProfilePath = value;
    }

    /// <inheritdoc cref="ModelOptions.UseProfile"/>
    public bool UseProfile
    {
        get => Model.UseProfile;
        set => Model.UseProfile = value;
    }

    /// <inheritdoc cref="ModelOptions.UseMeasuredCosts"/>
    public bool UseMeasuredCosts
    {
        get => Model.UseMeasuredCosts;
        set => Model.UseMeasuredCosts = value;
    }

    /// <inheritdoc cref="ModelOptions.CacheFolder"/>
    public string? CacheFolder
    {
        get => Model.CacheFolder;
        set => Model.CacheFolder = value;
    }

    /// <inheritdoc cref="ModelOptions.GpuLayers"/>
    public int GpuLayers
    {
        get => Model.GpuLayers;
        set => Model.GpuLayers = value;
    }

    /// <inheritdoc cref="ModelOptions.Devices"/>
    public IReadOnlyList<string>? Devices
    {
        get => Model.Devices;
        set => Model.Devices = value;
    }

    /// <inheritdoc cref="ModelOptions.RpcServers"/>
    public IReadOnlyList<string>? RpcServers
    {
        get => Model.RpcServers;
        set => Model.RpcServers = value;
    }

    /// <inheritdoc cref="SessionOptions.ContextSize"/>
    public int ContextSize
    {
        get => Session.ContextSize;
        set => Session.ContextSize = value;
    }

    /// <inheritdoc cref="SessionOptions.Threads"/>
    public int Threads
    {
        get => Session.Threads;
        set => Session.Threads = value;
    }

    /// <inheritdoc cref="SessionOptions.BatchSize"/>
    public int BatchSize
    {
        get => Session.BatchSize;
        set => Session.BatchSize = value;
    }

    /// <inheritdoc cref="SessionOptions.UBatchSize"/>
    public int UBatchSize
    {
        get => Session.UBatchSize;
        set => Session.UBatchSize = value;
    }

    /// <inheritdoc cref="SessionOptions.KvCacheType"/>
    public KvCacheType KvCacheType
    {
        get => Session.KvCacheType;
        set => Session.KvCacheType = value;
    }

    /// <inheritdoc cref="SessionOptions.FlashAttention"/>
    public FlashAttentionMode FlashAttention
    {
        get => Session.FlashAttention;
        set => Session.FlashAttention = value;
    }

    /// <inheritdoc cref="SessionOptions.RestoreQuotes"/>
    public bool RestoreQuotes
    {
        get => Session.RestoreQuotes;
        set => Session.RestoreQuotes = value;
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
    /// How a thinned prefill goes on behind the first output token. Default null: as <see cref="CompletionOptions"/> says by default
    /// where the model has a tuned profile (idle completion only with one slot), and never where it has none. A request overrides
    /// when with <see cref="ForetokenChatOptionsExtensions.WithCompletion"/>.
    /// </summary>
    public CompletionOptions? Completion { get; set; }

    /// <summary>
    /// When the client measures by itself what prefills take. Default <see cref="CalibrationMode.WarmUp"/>: only while it is
    /// warmed up by <c>AddForetokenWarmUp</c>; a request never waits for it.
    /// </summary>
    public CalibrationMode Calibration { get; set; }

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
    /// KV cache of <see cref="SessionOptions.ContextSize"/> tokens, allocated when the model is loaded; the weights are shared. Default 1.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int Slots
    {
        get => _slots;
        set => _slots = OptionCheck.Positive(value);
    }

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

    /// <summary>A copy whose paths mean the same when the working folder changes before the model is loaded.</summary>
    internal ForetokenChatClientOptions Clone()
    {
        ForetokenChatClientOptions copy = (ForetokenChatClientOptions)MemberwiseClone();
        copy._modelPath = OptionCheck.FullPath(_modelPath)!;
        copy.Model = Model.Clone();
        copy.Session = Session.Clone();
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
        ForetokenModel.CheckFile(ModelPath, Model, out ModelProfile? profile);
        ImportancePolicies.Get(Speed.Importance, profile?.Predictors);
    }

    /// <summary>The options of each session: slots that compute at the same time must not wait for each other's cores.</summary>
    internal SessionOptions ToSessionOptions()
    {
        SessionOptions session = Session.Clone();
        if (session.Threads == 0 && Slots > 1)
        {
            session.Threads = Math.Max(1, Environment.ProcessorCount / Slots);
        }
        return session;
    }
}
