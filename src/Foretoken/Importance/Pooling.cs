namespace Foretoken.Importance;

/// <summary>Centred moving average, as importance is smoothed over neighbouring tokens.</summary>
internal static class Pooling
{
    /// <summary>
    /// Averages every value over <paramref name="width"/> neighbours, itself in the middle. At the ends the signal is mirrored
    /// with the outermost value repeated: d c b a | a b c d | d c b a.
    /// </summary>
    /// <param name="source">The signal.</param>
    /// <param name="target">Receives the averages; must not overlap <paramref name="source"/>.</param>
    /// <param name="width">Odd, at least 1.</param>
    public static void Mean(ReadOnlySpan<float> source, Span<float> target, int width)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(target.Length, source.Length);
        if (width < 1 || width % 2 == 0)
        {
            throw new ArgumentOutOfRangeException(nameof(width), width, "An odd width is needed.");
        }

        if (source.IsEmpty)
        {
            return;
        }

        int half = width / 2;
        double sum = 0;
        for (int i = -half; i <= half; i++)
        {
            sum += source[Mirror(i, source.Length)];
        }

        // a running sum: in double the error over a prompt's length stays far below a float's own
        for (int i = 0; i < target.Length; i++)
        {
            target[i] = (float)(sum / width);
            int enters = i + half + 1;
            int leaves = i - half;
            sum +=
                source[enters < source.Length ? enters : Mirror(enters, source.Length)]
                - (double)source[leaves >= 0 ? leaves : Mirror(leaves, source.Length)];
        }
    }

    private static int Mirror(int index, int length)
    {
        int period = 2 * length;
        index %= period;
        index = index < 0 ? index + period : index;
        return index < length ? index : period - 1 - index;
    }
}
