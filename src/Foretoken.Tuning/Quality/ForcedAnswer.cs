using Foretoken.Sessions;

namespace Foretoken.Tuning.Quality;

/// <summary>
/// The full model's greedy answer to a prompt, with the logits behind each token of it, to be forced on the model when it leaves
/// something out.
/// </summary>
/// <param name="Tokens">The answer, at least one token.</param>
/// <param name="Logits">In front of each of its tokens, [vocabulary].</param>
/// <param name="DecodeMs">Median time of a decoded token; <see langword="null"/> when none was decoded.</param>
/// <param name="ArrivalsMs">When each token was there, from the first one on; that of the first is 0.</param>
internal sealed record ForcedAnswer(
    IReadOnlyList<int> Tokens,
    IReadOnlyList<float[]> Logits,
    double? DecodeMs,
    IReadOnlyList<double> ArrivalsMs
)
{
    // what an answer begins with
    private const int FirstTokens = 8;

    /// <summary>Lets the model answer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="session">A session whose last token is the prompt's.</param>
    /// <param name="limit">Tokens of the answer, at most.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Stops it.</param>
    internal static ForcedAnswer Record(
        ForetokenModel model,
        ForetokenSession session,
        int limit,
        TimeProvider time,
        CancellationToken cancellationToken
    )
    {
        List<int> tokens = [];
        List<float[]> logits = [];
        List<double> times = [];
        List<double> arrivals = [0];
        while (true)
        {
            float[] next = session.GetLogits();
            int token = LogitComparison.ArgMax(next);
            tokens.Add(token);
            logits.Add(next);
            // that the answer ends here is a prediction like any other: it is compared, but nothing comes behind it
            if (tokens.Count == limit || model.IsEndOfGeneration(token))
            {
                return new ForcedAnswer(tokens, logits, MedianOf(times), arrivals);
            }

            times.Add(TimeDecode(session, token, time, cancellationToken));
            arrivals.Add(arrivals[^1] + times[^1]);
        }
    }

    /// <summary>Forces the answer and compares what the model would have said.</summary>
    /// <param name="session">A session whose last token is the prompt's; afterwards it holds the answer, too.</param>
    /// <param name="completion">Completes the thinned prompt meanwhile; <see langword="null"/> for not at all.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Stops it.</param>
    internal ForcedComparison Compare(
        ForetokenSession session,
        AnswerCompletion? completion,
        TimeProvider time,
        CancellationToken cancellationToken
    )
    {
        double kl = 0;
        double klOfFirst = 0;
        List<double> arrivals = [0];
        int agreements = 0;
        List<double> times = [];
        int parting = -1;
        int chosen = -1;
        int restoredAtParting = 0;
        TimeSpan restoring = session.RestoreTime;
        for (int i = 0; i < Tokens.Count; i++)
        {
            float[] logits = session.GetLogits();
            kl += LogitComparison.KlDivergence(Logits[i], logits);
            klOfFirst = i < FirstTokens ? kl : klOfFirst;
            int token = LogitComparison.ArgMax(logits);
            if (token == Tokens[i])
            {
                agreements++;
            }
            else if (parting < 0)
            {
                parting = i;
                chosen = token;
                restoredAtParting = session.RestoredTokens;
            }

            if (i + 1 < Tokens.Count)
            {
                long start = time.GetTimestamp();
                completion?.Continue(i + 1, cancellationToken);
                times.Add(TimeDecode(session, Tokens[i], time, cancellationToken));
                arrivals.Add(arrivals[^1] + time.GetElapsedTime(start).TotalMilliseconds);
            }
        }

        return new ForcedComparison(
            kl / Tokens.Count,
            (double)agreements / Tokens.Count,
            parting,
            chosen,
            MedianOf(times) + ((session.RestoreTime - restoring).TotalMilliseconds / times.Count),
            session.RestoredTokens,
            restoredAtParting
        )
        {
            KlOfFirst = klOfFirst / Math.Min(FirstTokens, Tokens.Count),
            ArrivalsMs = arrivals,
            Completion = completion?.Report,
        };
    }

    private static double? MedianOf(List<double> times) => times.Count == 0 ? null : QualityTable.Median(times);

    private static double TimeDecode(
        ForetokenSession session,
        int token,
        TimeProvider time,
        CancellationToken cancellationToken
    )
    {
        long start = time.GetTimestamp();
        TimeSpan restoring = session.RestoreTime;
        session.Decode(token, cancellationToken);
        return (time.GetElapsedTime(start) - (session.RestoreTime - restoring)).TotalMilliseconds;
    }
}
