using Foretoken.Errors;

namespace Foretoken.Sessions;

/// <summary>How long a calibration may take.</summary>
public sealed class CalibrationOptions
{
    private TimeSpan _budget = TimeSpan.FromSeconds(15);
    private int _longestPrompt = 4096;

    /// <summary>
    /// Time that it may take. It ends within the running chunk when the time is over. Default 15 seconds: enough for models of up to
    /// about a billion weights on a processor; larger ones are measured on shorter prompts, and longer ones extrapolated.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public TimeSpan Budget
    {
        get => _budget;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero, nameof(Budget));
            _budget = value;
        }
    }

    /// <summary>Tokens of the longest prompt that is run, at least 64. Default 4,096; less where the budget does not allow it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 64.</exception>
    public int LongestPrompt
    {
        get => _longestPrompt;
        set => _longestPrompt = OptionCheck.AtLeast(value, 64);
    }
}
