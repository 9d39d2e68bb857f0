using System.Diagnostics;
using System.Globalization;

namespace Foretoken.Tests;

/// <summary>
/// How long tests with generated inputs run: <c>FORETOKEN_FUZZ_COUNT</c> inputs from the seed <c>FORETOKEN_FUZZ_SEED</c> on, or as
/// many as a test says from seed 1. Input i is made from seed + i alone, so a failure names the one seed that repeats it.
/// </summary>
internal static class Fuzz
{
    public static IEnumerable<int> Seeds(int count)
    {
        int first = Read("FORETOKEN_FUZZ_SEED") ?? 1;
        return Enumerable.Range(first, Read("FORETOKEN_FUZZ_COUNT") ?? count);
    }

    /// <summary>
    /// Tries one item per seed. Each must be over after a while, whatever it does. A native crash ends the process of the tests, so
    /// the seed that is tried is written to a file beforehand, <c>foretoken-fuzz-NAME.txt</c> in the folder of temporary files.
    /// </summary>
    /// <returns>The seed that took longest, and how long.</returns>
    public static (int Seed, TimeSpan Time) Try(string name, int count, Action<int> item)
    {
        (int Seed, TimeSpan Time) slowest = default;
        string trace = Path.Combine(Path.GetTempPath(), $"foretoken-fuzz-{name}.txt");
        foreach (int seed in Seeds(count))
        {
            File.WriteAllText(trace, $"{seed}");
            long start = Stopwatch.GetTimestamp();
            try
            {
                item(seed);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"{name}, seed {seed}: {e.Message}", e);
            }
            TimeSpan time = Stopwatch.GetElapsedTime(start);
            slowest = time > slowest.Time ? (seed, time) : slowest;
        }
        File.Delete(trace);
        return slowest;
    }

    private static int? Read(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text
            ? int.Parse(text, CultureInfo.InvariantCulture)
            : null;
}
