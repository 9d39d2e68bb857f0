using Foretoken.Tuning.Models;

namespace Foretoken.Tuning.Prompts;

/// <summary>Repeatable choices: the same on every machine and in every .NET version.</summary>
internal sealed class PromptRandom(int seed, string name)
{
    // of the integers, the fractional part of n times this spreads most evenly (Weyl sequence of the golden ratio)
    private const double GoldenRatio = 0.6180339887498949;

    private Xoshiro _bits = new(Xoshiro.SeedOf(seed, name));

    /// <summary>A whole number from 0 to below <paramref name="count"/>.</summary>
    internal int Next(int count) => (int)(NextShare() * count);

    /// <summary>A number from 0 to below 1.</summary>
    internal double NextShare() => (_bits.Next() >> 11) * (1.0 / (1UL << 53));

    internal T Choose<T>(IReadOnlyList<T> of) => of[Next(of.Count)];

    /// <summary>In an order of its own.</summary>
    internal T[] Shuffle<T>(IEnumerable<T> items)
    {
        T[] all = [.. items];
        for (int i = all.Length - 1; i > 0; i--)
        {
            int j = Next(i + 1);
            (all[i], all[j]) = (all[j], all[i]);
        }

        return all;
    }

    /// <summary>The element <paramref name="index"/> of a sequence in [0, 1) that is even however many are taken.</summary>
    internal static double Spread(double start, int index) => (start + (index * GoldenRatio)) % 1;
}
