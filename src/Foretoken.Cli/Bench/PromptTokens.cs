namespace Foretoken.Cli.Bench;

/// <summary>Prompts of random tokens: speed does not depend on what they say.</summary>
internal static class PromptTokens
{
    /// <summary>Token i is splitmix64(splitmix64(seed) + pair · 2³² + i) modulo the vocabulary.</summary>
    internal static int[] Create(int count, int vocabularySize, int seed, int pair)
    {
        ulong start = SplitMix64((uint)seed) + ((ulong)pair << 32);
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = (int)(SplitMix64(start + (ulong)i) % (ulong)vocabularySize);
        }
        return tokens;
    }

    // Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014)
    private static ulong SplitMix64(ulong x)
    {
        x += 0x9e3779b97f4a7c15;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
        x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
        return x ^ (x >> 31);
    }
}
