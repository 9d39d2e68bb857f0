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

    private static int? Read(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text
            ? int.Parse(text, CultureInfo.InvariantCulture)
            : null;
}
