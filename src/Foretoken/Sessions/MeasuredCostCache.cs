using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Gguf;

namespace Foretoken.Sessions;

/// <summary>The cost profiles that are cached on this machine. Thread-safe.</summary>
internal static class MeasuredCostCache
{
    /// <summary>Finds what was measured for a model with given settings, without loading the model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="modelOptions">How it would be loaded; null for the defaults.</param>
    /// <param name="sessionOptions">How its session would be created; null for the defaults.</param>
    /// <returns>The profile; null when too little was measured with these settings, or the cached file cannot be used.</returns>
    /// <exception cref="NativeLibraryException">The native library, whose build the times belong to, could not be loaded.</exception>
    /// <exception cref="IOException">The model file could not be read.</exception>
    public static MeasuredPrefillCost? Find(
        ModelFileInfo model,
        ModelOptions? modelOptions = null,
        SessionOptions? sessionOptions = null
    )
    {
        ArgumentNullException.ThrowIfNull(model);
        modelOptions ??= new ModelOptions();
        if (model.Shape is not { } shape || !modelOptions.UseMeasuredCosts)
        {
            return null;
        }
        CostKey key = CostKeys.Of(
            ModelFingerprint.Compute(model),
            shape,
            modelOptions,
            sessionOptions ?? new SessionOptions(),
            ForetokenModel.GetNativeLibrary()
        );
        return CostTracker.Open(shape, key, model.Path, modelOptions.CacheFolder).Profile;
    }
}
