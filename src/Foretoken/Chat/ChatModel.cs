using Foretoken.Costs;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Interop;
using Foretoken.Sessions;
using Microsoft.Extensions.Logging;

namespace Foretoken.Chat;

/// <summary>The model of a client with what belongs to it: renderer, adapters, slots. Loads and frees them.</summary>
/// <param name="options">The client's options.</param>
/// <param name="given">A model that is loaded already and stays its owner's; null for the one that the options name.</param>
/// <param name="logger">Learns what was loaded.</param>
/// <remarks>Written on the front thread of the client only; the properties can be read from any.</remarks>
internal sealed class ChatModel(ForetokenChatClientOptions options, ForetokenModel? given, ILogger logger)
{
    private ForetokenModel? _model = given;
    private RequestRenderer? _renderer;
    private InferenceSlot[] _slots = [];
    private SlotPool<InferenceSlot>? _pool;

    internal bool OwnsModel { get; } = given is null;

    internal ForetokenModel? Model
    {
        get => Volatile.Read(ref _model);
        private set => Volatile.Write(ref _model, value);
    }

    internal RequestRenderer? Renderer
    {
        get => Volatile.Read(ref _renderer);
        private set => Volatile.Write(ref _renderer, value);
    }

    internal LoraAdapterSet? Adapters { get; private set; }

    internal InferenceSlot[] Slots
    {
        get => Volatile.Read(ref _slots);
        private set => Volatile.Write(ref _slots, value);
    }

    /// <summary>Lends the slots; null until everything is loaded.</summary>
    internal SlotPool<InferenceSlot>? Pool
    {
        get => Volatile.Read(ref _pool);
        private set => Volatile.Write(ref _pool, value);
    }

    /// <summary>Loads what is not loaded yet.</summary>
    internal void EnsureLoaded(IProgress<float>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (Pool is not null)
        {
            return;
        }
        NativeLibraryInfo library = NativeLoader.EnsureLoaded();
        if (options.LoggerFactory is not null)
        {
            NativeLog.Attach(logger);
        }
        Model ??= ForetokenModel.Load(options.ModelPath, options.Model, progress, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        Renderer ??= new RequestRenderer(Model, options, logger);
        Adapters ??= new LoraAdapterSet(Model, options.Adapters);
        try
        {
            Slots = CreateSlots(Model);
        }
        catch (DeviceLostException) when (OwnsModel)
        {
            Unload();
            throw;
        }
        Pool = new SlotPool<InferenceSlot>(Slots);
        LogLoaded(library);
    }

    private void LogLoaded(NativeLibraryInfo library)
    {
        ForetokenModel model = Model!;
        ForetokenSession first = Slots[0].Session;
        logger.ModelLoaded(
            model.Path,
            model.Info.Description,
            model.Info.LayerCount,
            Slots.Length,
            first.ContextSize,
            library.LlamaRelease,
            library.PatchHash
        );
        LogSlowWeights(model);
        AnswerWriter.LogCostProblem(logger, first);
        if (first.Cost is MeasuredPrefillCost cost)
        {
            logger.MeasuredCostsInUse(cost.Runs, 100 * cost.RunSpread);
        }
        if (first.NotStagedReason is { } reason)
        {
            logger.NotStaged(reason);
        }
        else if (
            model.Profile is { } profile
            && ImportancePolicies.Get(options.Speed.Importance, profile.Predictors) is LearnedImportance
        )
        {
            logger.ProfileInUse(profile.ModelName, profile.Predictors.Count, profile.Origin.Prompts);
        }
        else if (model.Profile is null && options.Speed.Importance is null)
        {
            logger.NoProfile(ImportancePolicies.Default.Name);
        }
        ScaledAdapter[] defaults = Adapters!.Get(LoraAdapterSet.Choose(options.Adapters, named: null));
        if (model.Profile?.FindSkipMismatch(ScaledAdapter.ToProfile(defaults)) is { } mismatch)
        {
            logger.SkipsLeftAside(mismatch);
        }
    }

    /// <summary>Frees everything, so that it can be loaded again. A shared model stays.</summary>
    internal void Unload()
    {
        Array.ForEach(Slots, slot => slot.Dispose());
        Renderer?.Dispose();
        Adapters?.Dispose();
        Slots = [];
        Renderer = null;
        Adapters = null;
        Pool = null;
        if (OwnsModel)
        {
            Model?.Dispose();
            Model = null;
        }
    }

    /// <summary>The prompt of a request.</summary>
    /// <exception cref="ContextFullException">It leaves no room for an answer.</exception>
    internal ChatPrompt Render(ChatRequest request, CancellationToken cancellationToken)
    {
        ChatPrompt prompt = Renderer!.Render(request, cancellationToken);
        try
        {
            // an answer needs room for one token at least
            int contextSize = Slots[0].Session.ContextSize;
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

    private InferenceSlot[] CreateSlots(ForetokenModel model)
    {
        List<InferenceSlot> slots = [];
        try
        {
            while (slots.Count < options.Slots)
            {
                ForetokenSession session = model.CreateSession(options.ToSessionOptions());
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

    private void LogSlowWeights(ForetokenModel model)
    {
        if (logger.IsEnabled(LogLevel.Information) && model.FindSlowWeights() is { FasterTypes.Count: > 0 } slow)
        {
            logger.NoPrefillKernel(slow.Type, string.Join(", ", slow.FasterTypes));
        }
    }
}
