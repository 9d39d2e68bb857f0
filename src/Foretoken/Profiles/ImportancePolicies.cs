using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Foretoken.Profiles;

/// <summary>The importance policies by name.</summary>
/// <remarks>Thread-safe.</remarks>
public static class ImportancePolicies
{
    internal const string RandomName = "random";

    private static readonly IImportancePolicy[] Fixed =
    [
        new HeadNormalizedWindow(),
        new RecentWindow(),
        new AttentionContextContribution(),
        new MostRecent(),
    ];

    /// <summary>The policy that is used when none is named: <see cref="HeadNormalizedWindow"/>.</summary>
    public static IImportancePolicy Default => Fixed[0];

    /// <summary>
    /// The names that <see cref="Get"/> knows, the default first. <c>random</c> may be followed by a seed: <c>random:7</c>.
    /// </summary>
    public static IReadOnlyList<string> Names { get; } = [.. Fixed.Select(p => p.Name), RandomName];

    /// <summary>Finds a policy by its name.</summary>
    /// <param name="name">One of <see cref="Names"/>, in any case; <see langword="null"/> or empty for the default.</param>
    /// <exception cref="ArgumentException">There is no policy of that name; the message lists those that exist.</exception>
    public static IImportancePolicy Get(string? name) =>
        TryGet(name, out IImportancePolicy? policy)
            ? policy
            : throw new ArgumentException(
                $"There is no importance named '{name}'. Known are: {string.Join(", ", Names)}.",
                nameof(name)
            );

    /// <summary>Finds a policy by its name.</summary>
    /// <param name="name">One of <see cref="Names"/>, in any case; <see langword="null"/> or empty for the default.</param>
    /// <param name="policy">The policy when the result is <see langword="true"/>.</param>
    /// <returns>Whether there is such a policy.</returns>
    public static bool TryGet(string? name, [NotNullWhen(true)] out IImportancePolicy? policy)
    {
        if (string.IsNullOrWhiteSpace(name))
        {
            policy = Default;
            return true;
        }

        name = name.Trim();
        policy = Array.Find(Fixed, p => string.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase));
        if (policy is null && name.StartsWith(RandomName, StringComparison.OrdinalIgnoreCase))
        {
            ReadOnlySpan<char> rest = name.AsSpan(RandomName.Length);
            if (rest.IsEmpty)
            {
                policy = new RandomImportance();
            }
            else if (
                rest[0] == ':'
                && int.TryParse(rest[1..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int seed)
            )
            {
                policy = new RandomImportance(seed);
            }
        }

        return policy is not null;
    }
}
