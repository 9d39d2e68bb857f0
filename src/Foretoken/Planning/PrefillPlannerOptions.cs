using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Planning;

/// <summary>Settings of a <see cref="PrefillPlanner"/>.</summary>
internal sealed record PrefillPlannerOptions
{
    /// <summary>What <see cref="MinNewTokens"/> stands for with a counted cost.</summary>
    internal const int CountedMinNewTokens = 256;

    private readonly int? _minNewTokens;
    private readonly double _thresholdFloor = 0.5;
    private readonly PrefillSchedule[] _schedules = [PrefillSchedule.Default];
    private readonly SkipOption[] _skips = [];

    /// <summary>
    /// Prompts with fewer new tokens are prefilled plainly: there is little to gain and much to lose. Default
    /// <see langword="null"/>: with a cost that was measured, where plain prefill is about as fast as the fastest plan, but at
    /// least four times the tokens that are kept by their place (<see cref="AlwaysKept"/>); with a counted one 256.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int? MinNewTokens
    {
        get => _minNewTokens;
        init
        {
            if (value is { } tokens)
            {
                ArgumentOutOfRangeException.ThrowIfNegative(tokens);
            }

            _minNewTokens = value;
        }
    }

    /// <summary>
    /// The families of plans to choose from, at least one. Default: <see cref="PrefillSchedule.Default"/> alone. Of those that
    /// reach a target, the one whose <see cref="PrefillSchedule.Losses"/> promise the least loss is used; a measured loss goes
    /// before one that was not measured, and among equals the earlier schedule.
    /// </summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public IReadOnlyList<PrefillSchedule> Schedules
    {
        get => _schedules;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            if (value.Count == 0)
            {
                throw new ArgumentException("A planner needs at least one schedule.", nameof(value));
            }

            _schedules = [.. value];
        }
    }

    /// <summary>
    /// What sequences may do without, with measured losses; each is weighed alone and with every schedule. Doing without nothing
    /// is always possible. Default: empty.
    /// </summary>
    public IReadOnlyList<SkipOption> Skips
    {
        get => _skips;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            _skips = [.. value];
        }
    }

    /// <summary>
    /// Least retention of a boundary as a share of its retention, for requests that use thresholds
    /// (<see cref="PlanRequest.UseThresholds"/>), in (0, 1]. Default 0.5.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a number above 0 and at most 1.</exception>
    public double ThresholdFloor
    {
        get => _thresholdFloor;
        init =>
            _thresholdFloor =
                value > 0 && value <= 1
                    ? value
                    : throw new ArgumentOutOfRangeException(
                        nameof(value),
                        value,
                        "The floor is a share of the retention: above 0, at most 1."
                    );
    }
}
