namespace Foretoken.Planning;

/// <summary>Settings of a <see cref="PrefillPlanner"/>.</summary>
public sealed record PrefillPlannerOptions
{
    private readonly int _minNewTokens = 256;

    /// <summary>Prompts with fewer new tokens are prefilled plainly: there is little to gain and much to lose. Default 256.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int MinNewTokens
    {
        get => _minNewTokens;
        init
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _minNewTokens = value;
        }
    }

    /// <summary>The plans to choose from. Default <see cref="PrefillSchedule.Default"/>.</summary>
    public PrefillSchedule Schedule { get; init; } = PrefillSchedule.Default;
}
