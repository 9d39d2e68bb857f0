using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>Which positions of a sequence every layer with attention holds. Asked for natively when needed, and kept until it changes.</summary>
internal sealed class HeldPositions(SessionContext context, SequenceState sequence, int layerCount)
{
    private bool[]? _held;

    /// <summary>Forgets what was asked for: the sequence was changed.</summary>
    internal void Invalidate() => _held = null;

    /// <summary>For each position in front of <paramref name="end"/>, and maybe of more, whether every layer with attention holds it.</summary>
    internal bool[] InFrontOf(int end)
    {
        // what is decoded behind a prompt that was cut belongs to it
        if (_held is null || _held.Length < end)
        {
            _held = Find();
        }
        return _held;
    }

    /// <summary>Tokens of thinned spans that upper layers lack.</summary>
    internal int CountMissing()
    {
        int count = 0;
        foreach (ThinnedSpan span in sequence.Thinned)
        {
            if (span.State != SpanState.Thinned)
            {
                continue;
            }
            int end = Math.Min(span.End, sequence.Count);
            bool[] held = InFrontOf(end);
            for (int position = Math.Max(span.Start, sequence.FilledFront); position < end; position++)
            {
                count += held[position] ? 0 : 1;
            }
        }
        return count;
    }

    private bool[] Find()
    {
        // boundaries only ever drop tokens, so the highest layer with attention holds the fewest
        int layer = layerCount - 1;
        while (sequence.Skips.Any(skip => skip.Layer == layer && skip.Part != LayerPart.FeedForward))
        {
            layer--;
        }
        bool[] held = new bool[sequence.Count];
        foreach (int position in context.Positions(layer, sequence.Count))
        {
            held[position] = true;
        }
        return held;
    }
}
