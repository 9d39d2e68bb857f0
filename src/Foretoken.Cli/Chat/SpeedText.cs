using System.Globalization;
using Foretoken.Cli.Console;
using Foretoken.Sessions;

namespace Foretoken.Cli.Chat;

/// <summary>Speedups as people type and read them.</summary>
internal static class SpeedText
{
    /// <summary>Reads "2.5" or "2.5x"; explains what is wrong otherwise.</summary>
    internal static bool TryParse(string text, out double speed, out string error)
    {
        // as the chat itself writes it
        string number = text.Trim().TrimEnd('x', 'X');
        if (!NumberText.TryParse(number, out speed, out string? wrong))
        {
            error = $"{wrong} A speedup is 1 or more.";
            return false;
        }
        error = Explain(speed) ?? "";
        return error.Length == 0;
    }

    /// <summary>Why a speedup cannot be asked for; null when it can. The library decides.</summary>
    internal static string? Explain(double speed) => Explain(request => request.TargetTtftSpeedup = speed);

    /// <summary>Why a quality budget cannot be given; null when it can. The library decides.</summary>
    internal static string? ExplainLoss(double loss) => Explain(request => request.MaxQualityLoss = loss);

    private static string? Explain(Action<PrefillRequest> set)
    {
        try
        {
            set(new PrefillRequest());
            return null;
        }
        catch (ArgumentOutOfRangeException e)
        {
            return ErrorText.Describe(e);
        }
    }

    internal static string Format(double speed) => speed.ToString("0.##", CultureInfo.InvariantCulture) + "x";

    /// <summary>What is asked for, as in "2x" or "as much as a loss of 0.1 nats allows".</summary>
    internal static string Format(double? speed, double? maxQualityLoss) =>
        (speed, maxQualityLoss) switch
        {
            (null, { } loss) => $"as much as {FormatLoss(loss)} allows",
            ({ } factor, { } loss) => $"{Format(factor)}, at most {FormatLoss(loss)}",
            _ => Format(speed ?? 1),
        };

    private static string FormatLoss(double loss) =>
        string.Create(CultureInfo.InvariantCulture, $"a loss of {loss:0.###} nats");
}
