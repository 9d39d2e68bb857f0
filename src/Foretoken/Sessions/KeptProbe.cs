using System.Runtime.InteropServices;
using Foretoken.Interop;

namespace Foretoken.Sessions;

/// <summary>
/// A copy of what a probe measured: native memory lives until its boundary is passed, and a boundary where only routers read
/// lies in front of the one whose importance asked for it.
/// </summary>
internal sealed class KeptProbe
{
    private readonly float[] _scores;
    private readonly int[] _keyPositions;

    private KeptProbe(int headCount, float[] scores, int[] keyPositions)
    {
        HeadCount = headCount;
        _scores = scores;
        _keyPositions = keyPositions;
    }

    internal int HeadCount { get; }

    internal int KeyCount => _keyPositions.Length;

    /// <summary>[heads, keys]; valid as long as this object is referenced.</summary>
    internal nint Scores => Marshal.UnsafeAddrOfPinnedArrayElement(_scores, 0);

    /// <summary>[keys]; valid as long as this object is referenced.</summary>
    internal nint KeyPositions => Marshal.UnsafeAddrOfPinnedArrayElement(_keyPositions, 0);

    internal static unsafe KeptProbe Copy(nint boundary, int probe)
    {
        int heads = NativeMethods.ftk_boundary_n_head(boundary, probe);
        int keys = checked((int)NativeMethods.ftk_boundary_n_keys(boundary, probe));
        float[] scores = GC.AllocateUninitializedArray<float>(checked(heads * keys), pinned: true);
        int[] positions = GC.AllocateUninitializedArray<int>(keys, pinned: true);
        new ReadOnlySpan<float>(NativeMethods.ftk_boundary_probe(boundary, probe), scores.Length).CopyTo(scores);
        new ReadOnlySpan<int>(NativeMethods.ftk_boundary_key_positions(boundary, probe), keys).CopyTo(positions);
        return new KeptProbe(heads, scores, positions);
    }
}
