using System.Globalization;
using Foretoken.Errors;
using Foretoken.Plans;

namespace Foretoken.Importance;

/// <summary>The importance policies by name.</summary>
/// <remarks>Thread-safe.</remarks>
internal static class ImportancePolicies
{
    internal const string RandomName = "random";

    private static readonly IImportancePolicy[] Fixed =
    [
        new HeadNormalizedWindow(),
        new RecentWindow(),
        new AttentionContextContribution(),
        new AttentionContextContribution(sampled: true),
        new MostRecent(),
    ];

    /// <summary>The policy that is used when none is named and the model has no profile: <see cref="HeadNormalizedWindow"/>.</summary>
    public static IImportancePolicy Default => Fixed[0];

    /// <summary>
    /// All names. <c>learned</c> needs a model with a profile; <c>random</c> may be followed by a seed: <c>random:7</c>.
    /// </summary>
    public static IReadOnlyList<string> Names { get; } =
    [LearnedImportance.PolicyName, .. Fixed.Select(p => p.Name), RandomName];

    /// <summary>The names that a model can be used with, the default first.</summary>
    /// <param name="hasProfile">Whether the model has a tuned profile, from which importance was learned.</param>
    public static IReadOnlyList<string> NamesFor(bool hasProfile) => hasProfile ? Names : [.. Names.Skip(1)];

    /// <summary>Checks a name before it is known which model it will be used with.</summary>
    /// <param name="name">One of <see cref="Names"/>, in any case; <see langword="null"/> or empty for the default.</param>
    /// <exception cref="ArgumentException">There is no policy of that name; the message lists those that exist.</exception>
    public static void EnsureKnown(string? name)
    {
        if (!IsLearned(name))
        {
            Get(name);
        }
    }

    /// <summary>What an importance has probed, as far as the time of a stage depends on it.</summary>
    /// <param name="importance">The importance.</param>
    /// <param name="layerCount">Layers of the model.</param>
    public static ProbeLoad GetProbeLoad(IImportancePolicy importance, int layerCount)
    {
        ArgumentNullException.ThrowIfNull(importance);
        IReadOnlyList<AttentionProbe> probes = importance.GetProbes(0, layerCount);
        int layers = probes.Select(probe => probe.Layer).Distinct().Count();
        if (layers == 0)
        {
            return default;
        }
        double last = 0;
        double share = 0;
        foreach (AttentionProbe probe in probes)
        {
            if (probe.FirstQuery < 0)
            {
                last += (double)-probe.FirstQuery / probe.Stride;
            }
            else
            {
                share += 1.0 / probe.Stride;
            }
        }
        return new ProbeLoad(layers, last / layers, share / layers);
    }

    /// <summary>Finds a policy by its name.</summary>
    /// <param name="name">
    /// One of <see cref="Names"/>, in any case; <see langword="null"/> or empty for the default: <c>learned</c> where there is a
    /// profile, otherwise <see cref="Default"/>.
    /// </param>
    /// <param name="predictors">What the model's profile learned; <see langword="null"/> when it has no profile.</param>
    /// <exception cref="ArgumentException">There is no policy of that name; the message lists those that exist.</exception>
    /// <exception cref="ModelProfileException"><c>learned</c> is asked for, and there is no profile.</exception>
    public static IImportancePolicy Get(string? name, IReadOnlyList<ImportancePredictor>? predictors = null)
    {
        if (string.IsNullOrWhiteSpace(name))
        {
            return predictors is null ? Default : new LearnedImportance(predictors);
        }

        if (IsLearned(name))
        {
            return predictors is null
                ? throw new ModelProfileException(
                    $"The importance '{LearnedImportance.PolicyName}' needs a profile, and this model has none in use. Run 'foretoken tune' with the model to make one, name one (ProfilePath, on the command line '--profile'), or use another importance: {string.Join(", ", NamesFor(hasProfile: false))}."
                )
                : new LearnedImportance(predictors);
        }

        return Find(name.Trim())
            ?? throw new ArgumentException(
                $"There is no importance named '{name}'. Known are: {string.Join(", ", Names)}.",
                nameof(name)
            );
    }

    private static bool IsLearned(string? name) =>
        string.Equals(name?.Trim(), LearnedImportance.PolicyName, StringComparison.OrdinalIgnoreCase);

    private static IImportancePolicy? Find(string name)
    {
        if (Array.Find(Fixed, p => string.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase)) is { } policy)
        {
            return policy;
        }

        if (!name.StartsWith(RandomName, StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        ReadOnlySpan<char> rest = name.AsSpan(RandomName.Length);
        return rest.IsEmpty ? new RandomImportance()
            : rest[0] == ':'
            && int.TryParse(rest[1..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int seed)
                ? new RandomImportance(seed)
            : null;
    }
}
