using System.Text;

namespace Foretoken.Chat;

/// <summary>
/// Passes streamed text on until a stop sequence occurs in it. Text that may be the beginning of a stop sequence is held back
/// until it is known, so that no part of one ever comes out, however it is spread over tokens.
/// </summary>
internal sealed class StopSequenceMatcher
{
    private readonly string[] _stops;
    private readonly StringBuilder _held = new();

    internal StopSequenceMatcher(IEnumerable<string> stops)
    {
        _stops = [.. stops.Where(stop => stop is { Length: > 0 }).Distinct(StringComparer.Ordinal)];
    }

    /// <summary>The stop sequence that occurred; null as long as none has.</summary>
    internal string? Matched { get; private set; }

    /// <summary>Adds text and returns what is certain to come before any stop sequence.</summary>
    internal string Append(string text)
    {
        if (Matched is not null)
        {
            return "";
        }
        if (_stops.Length == 0)
        {
            return text;
        }
        _held.Append(text);
        string all = _held.ToString();
        int stopAt = -1;
        foreach (string stop in _stops)
        {
            int at = all.IndexOf(stop, StringComparison.Ordinal);
            // of two that begin at the same place the shorter one is complete first, and is the one a reader would see
            if (at >= 0 && (stopAt < 0 || at < stopAt))
            {
                stopAt = at;
                Matched = stop;
            }
        }
        if (stopAt >= 0)
        {
            _held.Clear();
            return all[..stopAt];
        }
        int safe = all.Length - LongestPossibleBeginning(all);
        _held.Clear().Append(all, safe, all.Length - safe);
        return all[..safe];
    }

    /// <summary>Ends the text: what was held back turned out not to be a stop sequence.</summary>
    internal string Flush()
    {
        string rest = _held.ToString();
        _held.Clear();
        return rest;
    }

    /// <summary>Length of the longest end of <paramref name="text"/> that a stop sequence begins with.</summary>
    private int LongestPossibleBeginning(string text)
    {
        int longest = 0;
        foreach (string stop in _stops)
        {
            for (int length = Math.Min(stop.Length - 1, text.Length); length > longest; length--)
            {
                if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
                {
                    longest = length;
                    break;
                }
            }
        }
        return longest;
    }
}
