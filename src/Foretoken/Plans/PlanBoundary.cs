namespace Foretoken.Plans;

/// <summary>A place where tokens leave the prefill.</summary>
/// <param name="Layer">Tokens leave in front of this layer; at least 1.</param>
/// <param name="Retention">
/// Share of the prefill's new tokens that go on at most, in (0, 1]. It refers to all of them, not to those that arrive.
/// </param>
public readonly record struct PlanBoundary(int Layer, double Retention)
{
    // 0 stands for the retention itself, so that boundaries that mean the same are equal
    private readonly double _minRetention;

    /// <summary>
    /// Share of the prefill's new tokens that go on at least, in (0, <see cref="Retention"/>]. Default
    /// <see cref="Retention"/>: a fixed share. With a smaller one a token goes on where its importance passes the threshold
    /// of the importance policy (LTP, arXiv 2107.00910), and the two shares bound how many do.
    /// </summary>
    public double MinRetention
    {
        get => _minRetention == 0 ? Retention : _minRetention;
        init => _minRetention = value == Retention ? 0 : value;
    }

    /// <summary>Whether the share is fixed, so that no threshold matters.</summary>
    internal bool IsFixedShare => MinRetention == Retention;
}
