using Foretoken.Profiles;

namespace Foretoken.Sessions;

/// <summary>A LoRA adapter, and how strongly it works.</summary>
/// <param name="Adapter">The adapter.</param>
/// <param name="Scale">Factor to what it adds to the weights; 1 as it was trained, 0 is without it.</param>
public readonly record struct ScaledAdapter(LoraAdapter Adapter, float Scale = 1)
{
    /// <summary>What profiles know of adapters; of those with a scale of 0, which change nothing, they know nothing.</summary>
    internal static ProfileAdapter[] ToProfile(IEnumerable<ScaledAdapter> adapters) =>
        [
            .. adapters
                .Where(adapter => adapter.Scale != 0)
                .Select(adapter => new ProfileAdapter(
                    Path.GetFileName(adapter.Adapter.Path),
                    Convert.ToHexStringLower(adapter.Adapter.Fingerprint),
                    adapter.Scale
                )),
        ];
}
