using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>The LoRA adapters of a client, loaded, by name.</summary>
internal sealed class LoraAdapterSet : IDisposable
{
    private readonly Dictionary<string, LoraAdapter> _adapters = new(StringComparer.Ordinal);

    /// <inheritdoc cref="ForetokenModel.LoadAdapter" path="/exception"/>
    internal LoraAdapterSet(ForetokenModel model, IReadOnlyList<LoraAdapterOptions> adapters)
    {
        try
        {
            foreach (LoraAdapterOptions adapter in adapters)
            {
                _adapters.Add(adapter.Name, model.LoadAdapter(adapter.Path, adapter.Name));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The adapters with these names, which are known.</summary>
    internal ScaledAdapter[] Get(IReadOnlyDictionary<string, float> scales) =>
        [.. scales.Select(scale => new ScaledAdapter(_adapters[scale.Key], scale.Value))];

    /// <exception cref="ArgumentException">A name or path is empty, a name is given twice, or a scale is not a finite number.</exception>
    internal static void Check(IReadOnlyList<LoraAdapterOptions> adapters)
    {
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (LoraAdapterOptions adapter in adapters)
        {
            if (adapter is null)
            {
                throw new ArgumentException(
                    $"{nameof(ForetokenChatClientOptions.Adapters)} has an adapter that is null."
                );
            }
            ArgumentException.ThrowIfNullOrEmpty(adapter.Path);
            ArgumentException.ThrowIfNullOrEmpty(adapter.Name);
            EnsureFinite(adapter.Name, adapter.Scale);
            if (!names.Add(adapter.Name))
            {
                throw new ArgumentException(
                    $"Two LoRA adapters have the name '{adapter.Name}'; give one of them another {nameof(LoraAdapterOptions.Name)}."
                );
            }
        }
    }

    /// <summary>What a request computes with: what it names, or the defaults of the client.</summary>
    /// <exception cref="ArgumentException">It names an adapter that the client does not have, or a scale is not a finite number.</exception>
    internal static IReadOnlyDictionary<string, float> Choose(
        IReadOnlyList<LoraAdapterOptions> adapters,
        IReadOnlyDictionary<string, float>? named
    )
    {
        if (named is null)
        {
            return adapters
                .Where(adapter => adapter.Scale != 0)
                .ToDictionary(adapter => adapter.Name, adapter => adapter.Scale, StringComparer.Ordinal);
        }
        foreach ((string name, float scale) in named)
        {
            EnsureFinite(name, scale);
            if (!adapters.Any(adapter => adapter.Name == name))
            {
                string known =
                    adapters.Count == 0
                        ? $"none; name its file in {nameof(ForetokenChatClientOptions)}.{nameof(ForetokenChatClientOptions.Adapters)}"
                        : string.Join(", ", adapters.Select(adapter => $"'{adapter.Name}'"));
                throw new ArgumentException($"There is no LoRA adapter '{name}'. This client has {known}.");
            }
        }
        return named;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (LoraAdapter adapter in _adapters.Values)
        {
            adapter.Dispose();
        }
    }

    private static void EnsureFinite(string name, float scale)
    {
        if (!float.IsFinite(scale))
        {
            throw new ArgumentException($"The scale of the LoRA adapter '{name}' is {scale}; it is a finite number.");
        }
    }
}
