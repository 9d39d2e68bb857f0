namespace Foretoken.Sessions;

/// <summary>
/// Completes a thinned prompt between the output tokens of its answer, at the pace that the options ask for. On the thread of the
/// slot that answers.
/// </summary>
internal sealed class AnswerCompletion
{
    // a graph of fewer tokens takes about as long
    private const int FewestTokens = 16;

    private readonly CompletionOptions _options;
    private readonly ForetokenSession _session;
    private readonly TimeProvider _time;
    private readonly long _begin;
    private int _tokens;
    private TimeSpan _spent;
    private TimeSpan _longest;
    private int? _completeAt;

    internal AnswerCompletion(CompletionOptions options, ForetokenSession session, TimeProvider time)
    {
        _options = options;
        _session = session;
        _time = time;
        _begin = time.GetTimestamp();
        Remaining = session.CountRemaining(options.Grade);
    }

    /// <summary>Tokens that still have to run.</summary>
    internal int Remaining { get; private set; }

    /// <summary>What was done; null when nothing was to be done.</summary>
    internal CompletionReport? Report =>
        _tokens == 0 && Remaining == 0
            ? null
            : new CompletionReport(_options.Grade, _tokens, Remaining)
            {
                CompleteAtOutputToken = _completeAt,
                Time = _spent,
                LongestDelay = _longest,
            };

    /// <summary>Runs what is due behind an output token, before the next one is computed.</summary>
    /// <param name="outputTokens">Output tokens so far, at least one.</param>
    /// <param name="cancellationToken">Stops between two graphs.</param>
    internal void Continue(int outputTokens, CancellationToken cancellationToken)
    {
        if (Remaining == 0)
        {
            return;
        }
        // what was decoded since has to run again, too, where the grade is exact
        Remaining = _session.CountRemaining(_options.Grade);
        int due = Due(outputTokens);
        long start = _time.GetTimestamp();
        while (due > 0 && Remaining > 0)
        {
            CompletionStep step = _session.Complete(_options.Grade, due, cancellationToken);
            _tokens += step.Tokens;
            Remaining = step.Remaining;
            if (step.Tokens == 0)
            {
                break;
            }
            due -= step.Tokens;
        }
        TimeSpan delay = _time.GetElapsedTime(start);
        _spent += delay;
        _longest = delay > _longest ? delay : _longest;
        if (Remaining == 0)
        {
            _completeAt = outputTokens + 1;
        }
    }

    /// <summary>Tokens that are to run now.</summary>
    private int Due(int outputTokens)
    {
        int gaps = Math.Max(1, _options.ByOutputToken - outputTokens);
        double due = Math.Ceiling((double)Remaining / gaps);
        if (_options.MaxTokenDelay is { } delay)
        {
            due = Math.Min(due, AtMost(delay));
        }
        if (_options.MaxTimeShare is { } share)
        {
            // what has gone into the answer itself so far allows for so much, less what has been spent
            TimeSpan answer = _time.GetElapsedTime(_begin) - _spent;
            TimeSpan allowed = (answer * share / (1 - share)) - _spent;
            due = Math.Min(due, allowed > TimeSpan.Zero ? AtMost(allowed) : 0);
        }
        return (int)Math.Min(due, Remaining);
    }

    /// <summary>Tokens that run within a time, by those that ran before; a few at first.</summary>
    private double AtMost(TimeSpan time) =>
        _tokens == 0 ? FewestTokens : Math.Max(FewestTokens, Math.Floor(time / (_spent / _tokens)));
}
