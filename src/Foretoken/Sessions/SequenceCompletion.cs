using Foretoken.Interop;

namespace Foretoken.Sessions;

/// <summary>Completes upper layers of what was thinned, see <see cref="ForetokenSession.Complete"/>.</summary>
/// <param name="context">Computes.</param>
/// <param name="sequence">What is there.</param>
/// <param name="held">Which positions every layer holds.</param>
/// <param name="rewind">Removes tokens from an index on, where a computation failed.</param>
internal sealed class SequenceCompletion(
    SessionContext context,
    SequenceState sequence,
    HeldPositions held,
    Action<int> rewind
)
{
    /// <summary>Tokens that remain to be run.</summary>
    internal int CountRemaining(CompletionGrade grade)
    {
        if (grade == CompletionGrade.Fill)
        {
            return held.CountMissing();
        }
        return sequence.IsExact ? 0 : sequence.Count - sequence.InexactFrom;
    }

    /// <summary>Runs some of the tokens that remain, front to back.</summary>
    internal CompletionStep Run(CompletionGrade grade, int maxTokens, CancellationToken cancellationToken)
    {
        int ran = 0;
        if (grade == CompletionGrade.Exact)
        {
            if (!sequence.IsExact)
            {
                int from = sequence.InexactFrom;
                (int done, ran) = Run(grade, from, sequence.Count, maxTokens, cancellationToken);
                sequence.Completed(from + done);
            }
        }
        else if (sequence.NextToFill() is { } next)
        {
            (int done, ran) = Run(grade, next.From, next.End, maxTokens, cancellationToken);
            sequence.Filled(done);
        }
        return new CompletionStep(ran, CountRemaining(grade));
    }

    private (int Done, int Ran) Run(
        CompletionGrade grade,
        int from,
        int end,
        int maxTokens,
        CancellationToken cancellationToken
    )
    {
        held.Invalidate();
        NativeStatus status = context.Complete(
            grade,
            sequence.Tokens[from..end],
            from,
            maxTokens,
            out int done,
            out int ran,
            out string message,
            cancellationToken
        );
        if (status != NativeStatus.Ok)
        {
            int there = context.LastPosition + 1;
            if (there < sequence.Count)
            {
                rewind(there);
            }
            sequence.CompletionFailed(from);
            throw NativeCall.ToException(status, message, CancellationToken.None);
        }
        return (done, ran);
    }
}
