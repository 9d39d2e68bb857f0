using Foretoken.Interop;

namespace Foretoken.Sessions;

/// <summary>Brings back passages of the prompt that upper layers dropped, when the answer begins to quote them.</summary>
internal sealed class QuoteRestorer(SessionContext context, SequenceState sequence, HeldPositions held)
{
    // a passage is brought back when one of so many tokens that may be quoted next is missing
    private const int RestoreWithin = 4;

    /// <summary>Tokens that came back since the last prefill.</summary>
    internal int Tokens { get; private set; }

    /// <summary>What it took.</summary>
    internal TimeSpan Time { get; private set; }

    /// <summary>Begins to count anew.</summary>
    internal void Reset()
    {
        Tokens = 0;
        Time = TimeSpan.Zero;
    }

    /// <summary>Brings back what the answer quotes next, where it is missing.</summary>
    /// <param name="token">The token that is about to be decoded.</param>
    /// <param name="rewind">Removes tokens from an index on, where the computation failed.</param>
    /// <param name="cancellationToken">Looked at before anything runs.</param>
    internal void RestoreQuoted(int token, Action<int> rewind, CancellationToken cancellationToken)
    {
        // whatever came after the last thinned prompt: the answer, or a turn that nothing was left out of
        int promptEnd = Math.Min(sequence.Thinned[^1].End, sequence.Count);
        int[] answer = [.. sequence.Tokens[promptEnd..], token];
        SortedSet<int> missing = [];
        foreach (QuotedPassage passage in QuoteFinder.Find(sequence.Tokens[..promptEnd], answer))
        {
            bool[] there = held.InFrontOf(promptEnd);
            // the last token of a prompt is never dropped, and it stands in front of the answer
            int[] absent =
            [
                .. Enumerable
                    .Range(passage.Start, Math.Min(passage.End, promptEnd - 1) - passage.Start)
                    .Where(position => !there[position]),
            ];
            // what is quoted next may be here; otherwise the passage can wait
            if (absent.Length > 0 && absent[0] < passage.Next + RestoreWithin)
            {
                missing.UnionWith(absent);
            }
        }
        if (missing.Count > 0)
        {
            Restore([.. missing], rewind, cancellationToken);
        }
    }

    private void Restore(int[] positions, Action<int> rewind, CancellationToken cancellationToken)
    {
        bool[] there = held.InFrontOf(positions[^1] + 1);
        int[] tokens = new int[positions.Length];
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = sequence.Tokens[positions[i]];
        }
        long begin = TimeProvider.System.GetTimestamp();
        NativeStatus status = context.Restore(tokens, positions, out string message, cancellationToken);
        if (status == NativeStatus.ContextFull)
        {
            // nothing was changed, and the answer can do without
            return;
        }
        if (status != NativeStatus.Ok)
        {
            if (context.LastPosition < positions[0])
            {
                rewind(positions[0]);
            }
            throw NativeCall.ToException(status, message, CancellationToken.None);
        }
        foreach (int position in positions)
        {
            there[position] = true;
        }
        sequence.MarkRestored(positions);
        Tokens += positions.Length;
        Time += TimeProvider.System.GetElapsedTime(begin);
    }
}
