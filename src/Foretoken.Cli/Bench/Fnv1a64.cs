using System.Globalization;
using System.Runtime.InteropServices;

namespace Foretoken.Cli.Bench;

/// <summary>FNV-1a, 64 bit, over the bytes of floats: the hash that the baseline gives of its logits.</summary>
internal static class Fnv1a64
{
    internal static string Hash(ReadOnlySpan<float> values)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte b in MemoryMarshal.AsBytes(values))
        {
            hash = (hash ^ b) * 0x100000001b3;
        }
        return hash.ToString("x16", CultureInfo.InvariantCulture);
    }
}
