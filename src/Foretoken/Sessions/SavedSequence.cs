using System.Buffers.Binary;
using Foretoken.Errors;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>What a saved session holds beside the native state of its cache, and the format of both.</summary>
/// <remarks>
/// 32-bit numbers, little-endian: magic, version, counts, fronts; tokens, spans, skips; identities of the adapters; then the bytes of
/// the native state.
/// </remarks>
internal sealed class SavedSequence
{
    private const uint Magic = 0x534B5446; // "FTKS"
    private const int Version = 5;
    private const int HeaderLength = 10;

    // SHA-256 and scale
    private const int IdentityLength = 9;

    internal required int[] Tokens { get; init; }
    internal required ThinnedSpan[] Thinned { get; init; }
    internal required LayerSkip[] Skips { get; init; }
    internal required int ExactFront { get; init; }
    internal required int FilledFront { get; init; }
    internal required int DerivedFrom { get; init; }

    /// <summary>Where the native state begins.</summary>
    internal required int NativeStart { get; init; }

    internal static byte[] Write(SequenceState sequence, ReadOnlySpan<byte> native)
    {
        int[] header =
        [
            unchecked((int)Magic),
            Version,
            sequence.Count,
            sequence.Thinned.Count,
            sequence.Skips.Count,
            sequence.Adapters.Length,
            native.Length,
            sequence.ExactFront,
            sequence.FilledFront,
            sequence.DerivedFrom,
            .. sequence.Tokens,
            .. sequence.Thinned.SelectMany(span =>
                (int[])[span.Start, span.End, span.HasRestored ? 1 : 0, (int)span.State]
            ),
            .. sequence.Skips.SelectMany(skip => (int[])[skip.Layer, (int)skip.Part]),
            .. sequence.Adapters.SelectMany(Identity),
        ];
        byte[] state = new byte[(header.Length * sizeof(int)) + native.Length];
        for (int i = 0; i < header.Length; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(state.AsSpan(i * sizeof(int)), header[i]);
        }
        native.CopyTo(state.AsSpan(header.Length * sizeof(int)));
        return state;
    }

    /// <summary>Reads a state and checks that it fits.</summary>
    /// <exception cref="StateMismatchException">It is damaged, too long, of another version, or was computed with other adapters.</exception>
    internal static SavedSequence Read(ReadOnlySpan<byte> state, ScaledAdapter[] adapters, int contextSize)
    {
        if (state.Length < HeaderLength * sizeof(int) || (uint)Number(state, 0) != Magic || Number(state, 1) != Version)
        {
            throw new StateMismatchException("This is not a state that a session saved, or one of another version.");
        }
        int tokenCount = Number(state, 2);
        int spanCount = Number(state, 3);
        int skippedCount = Number(state, 4);
        int adapterCount = Number(state, 5);
        int nativeLength = Number(state, 6);
        long numbers =
            (long)HeaderLength
            + tokenCount
            + (4L * spanCount)
            + (2L * skippedCount)
            + ((long)IdentityLength * adapterCount);
        if (
            tokenCount < 0
            || spanCount < 0
            || skippedCount < 0
            || adapterCount < 0
            || nativeLength < 0
            || Math.Min(Number(state, 7), Math.Min(Number(state, 8), Number(state, 9))) < 0
            || Math.Max(Number(state, 7), Number(state, 8)) > tokenCount
            || (numbers * sizeof(int)) + nativeLength != state.Length
        )
        {
            throw new StateMismatchException("The saved state is truncated or damaged.");
        }
        if (tokenCount > contextSize)
        {
            throw new StateMismatchException(
                $"The saved state has {tokenCount} tokens, and the context of this session holds {contextSize}."
            );
        }
        // the last numbers in front of the native state
        int[] expected = [.. adapters.SelectMany(Identity)];
        bool isSame = adapters.Length == adapterCount;
        for (int i = 0; isSame && i < expected.Length; i++)
        {
            isSame = Number(state, (int)numbers - expected.Length + i) == expected[i];
        }
        if (!isSame)
        {
            throw new StateMismatchException(
                $"The saved state was computed with {adapterCount} LoRA adapters, and not with the {adapters.Length} that are given; load it with the same adapters and scales."
            );
        }

        int at = HeaderLength;
        int[] tokens = new int[tokenCount];
        for (int i = 0; i < tokenCount; i++)
        {
            tokens[i] = Number(state, at++);
        }
        ThinnedSpan[] thinned = new ThinnedSpan[spanCount];
        for (int i = 0; i < spanCount; i++)
        {
            thinned[i] = new ThinnedSpan(
                Number(state, at++),
                Number(state, at++),
                Number(state, at++) != 0,
                (SpanState)Number(state, at++)
            );
        }
        LayerSkip[] skips = new LayerSkip[skippedCount];
        for (int i = 0; i < skippedCount; i++)
        {
            skips[i] = new LayerSkip(Number(state, at++), (LayerPart)Number(state, at++));
        }
        return new SavedSequence
        {
            Tokens = tokens,
            Thinned = thinned,
            Skips = skips,
            ExactFront = Number(state, 7),
            FilledFront = Number(state, 8),
            DerivedFrom = Number(state, 9),
            NativeStart = (int)(numbers * sizeof(int)),
        };
    }

    private static int Number(ReadOnlySpan<byte> bytes, int index) =>
        BinaryPrimitives.ReadInt32LittleEndian(bytes[(index * sizeof(int))..]);

    /// <summary>What a saved state knows of an adapter, <see cref="IdentityLength"/> numbers.</summary>
    private static int[] Identity(ScaledAdapter adapter) =>
        [
            .. adapter
                .Adapter.Fingerprint.Chunk(sizeof(int))
                .Select(bytes => BinaryPrimitives.ReadInt32LittleEndian(bytes)),
            BitConverter.SingleToInt32Bits(adapter.Scale),
        ];
}
