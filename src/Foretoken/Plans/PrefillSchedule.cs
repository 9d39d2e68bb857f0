namespace Foretoken.Plans;

/// <summary>The family of plans that a planner chooses from: where the boundaries are, and how their retentions fall together.</summary>
/// <remarks>
/// <para>
/// A schedule is a path. At its beginning every boundary keeps everything; from waypoint to waypoint all retentions fall
/// linearly, and none ever rises. Walking on therefore never keeps more in any layer, and never loses less: between waypoints
/// the losses that were measured there are joined linearly, too.
/// </para>
/// <para>Immutable and thread-safe.</para>
/// </remarks>
internal sealed class PrefillSchedule
{
    private readonly double[] _depths;
    private readonly double[][] _waypoints;

    /// <summary>Creates a schedule.</summary>
    /// <param name="depths">Depth of each boundary as a share of the model's layers, strictly ascending, in (0, 1).</param>
    /// <param name="waypoints">
    /// Retentions of all boundaries per waypoint, in (0, 1]. The first waypoint is implied: all 1. Retentions never rise from
    /// boundary to boundary, nor from waypoint to waypoint.
    /// </param>
    /// <param name="losses">
    /// Quality lost at each waypoint, KL divergence from full prefill in nats, never falling; <see langword="null"/> when it was
    /// not measured. At the implied first waypoint it is 0.
    /// </param>
    /// <exception cref="ArgumentException">A depth, retention or loss is out of range or out of order.</exception>
    public PrefillSchedule(
        IReadOnlyList<double> depths,
        IReadOnlyList<IReadOnlyList<double>> waypoints,
        IReadOnlyList<double>? losses = null
    )
    {
        ArgumentNullException.ThrowIfNull(depths);
        ArgumentNullException.ThrowIfNull(waypoints);
        if (depths.Count == 0 || waypoints.Count == 0)
        {
            throw new ArgumentException("A schedule needs at least one boundary and one waypoint.");
        }

        for (int i = 0; i < depths.Count; i++)
        {
            if (!(depths[i] > (i > 0 ? depths[i - 1] : 0) && depths[i] < 1))
            {
                throw new ArgumentException(
                    "Depths are shares of the layers: above 0, below 1, ascending.",
                    nameof(depths)
                );
            }
        }

        double[] previous = new double[depths.Count];
        Array.Fill(previous, 1);
        _depths = [.. depths];
        _waypoints = new double[waypoints.Count + 1][];
        _waypoints[0] = previous;
        for (int w = 0; w < waypoints.Count; w++)
        {
            double[] point = [.. waypoints[w]];
            if (point.Length != depths.Count)
            {
                throw new ArgumentException(
                    $"Waypoint {w} has {point.Length} retentions for {depths.Count} boundaries.",
                    nameof(waypoints)
                );
            }

            for (int i = 0; i < point.Length; i++)
            {
                if (!(point[i] > 0 && point[i] <= Math.Min(previous[i], i > 0 ? point[i - 1] : 1)))
                {
                    throw new ArgumentException(
                        $"Retention {i} of waypoint {w} is {point[i]}; retentions are above 0 and never rise.",
                        nameof(waypoints)
                    );
                }
            }

            _waypoints[w + 1] = previous = point;
        }

        if (losses is not null)
        {
            if (losses.Count != waypoints.Count)
            {
                throw new ArgumentException(
                    $"There are {losses.Count} losses for {waypoints.Count} waypoints.",
                    nameof(losses)
                );
            }

            double least = 0;
            foreach (double loss in losses)
            {
                if (!(loss >= least && double.IsFinite(loss)))
                {
                    throw new ArgumentException(
                        $"The loss {loss} follows {least}: losses are not negative and never fall.",
                        nameof(losses)
                    );
                }

                least = loss;
            }

            Losses = [.. losses];
        }
    }

    /// <summary>Retentions of all boundaries per waypoint, without the implied first one.</summary>
    public IReadOnlyList<IReadOnlyList<double>> Waypoints => _waypoints[1..];

    /// <summary>Quality lost at each of <see cref="Waypoints"/>, in nats; <see langword="null"/> when it was not measured.</summary>
    public IReadOnlyList<double>? Losses { get; }

    /// <summary>
    /// Up to a speedup of about 2.2, one boundary after about a quarter of the layers, down to a quarter of the tokens. Beyond,
    /// three boundaries, which leave half, a quarter and an eighth of the tokens at a speedup of about 3. It ends where a
    /// twentieth is left: nothing is known of the quality below.
    /// </summary>
    /// <remarks>
    /// On a model of 30 layers these are the boundaries 4, 8 and 13. Measured there, from a speedup of about 3 on three
    /// boundaries answered more than one. Where one boundary should be depends on the importance: with a training-free one,
    /// whose attention is still unspecific in the lowest layers, more of what a question asks for went on behind layer 8 than
    /// behind 5 or 6 at the same speedup; a learned one can cut earlier and keep more.
    /// </remarks>
    public static PrefillSchedule Default { get; } =
        new(
            [4 / 30.0, 8 / 30.0, 13 / 30.0],
            [
                [1, 0.25, 0.25],
                [0.5, 0.25, 0.12],
                [0.2, 0.1, 0.05],
            ]
        );

    /// <summary>Depth of each boundary as a share of the model's layers.</summary>
    public IReadOnlyList<double> Depths => _depths;

    /// <summary>Waypoints behind the implied first one: the length of the path.</summary>
    internal int Length => _waypoints.Length - 1;

    /// <summary>The boundaries at a place of the path.</summary>
    /// <param name="position">From 0 (keep all) to <see cref="Length"/> (the end); whole numbers are waypoints.</param>
    /// <param name="layerCount">Layers of the model.</param>
    /// <param name="boundaries">Receives the boundaries; as long as <see cref="Depths"/>.</param>
    /// <returns>
    /// How many boundaries drop anything; of those that fall on one layer, the lowest retention counts. Between two waypoints
    /// the number is the same everywhere.
    /// </returns>
    internal int BoundariesAt(double position, int layerCount, Span<PlanBoundary> boundaries)
    {
        int count = 0;
        (int from, double part) = Split(position);
        for (int i = 0; i < _depths.Length; i++)
        {
            double retention =
                part == 0 ? _waypoints[from][i] : Between(_waypoints[from][i], _waypoints[from + 1][i], part);
            int layer = LayerOf(_depths[i], layerCount);
            if (retention >= (count > 0 ? boundaries[count - 1].Retention : 1))
            {
                continue;
            }

            if (count > 0 && boundaries[count - 1].Layer == layer)
            {
                count--;
            }

            boundaries[count++] = new PlanBoundary(layer, retention);
        }

        return count;
    }

    /// <summary>The layer of the last boundary.</summary>
    /// <param name="layerCount">Layers of the model.</param>
    internal int DeepestLayer(int layerCount) => LayerOf(_depths[^1], layerCount);

    // in front of layer 1 at the earliest, of the last layer at the latest
    private static int LayerOf(double depth, int layerCount) =>
        Math.Clamp((int)Math.Round(depth * layerCount), 1, Math.Max(1, layerCount - 1));

    /// <summary>Expected loss at a place of the path, in nats, linear between waypoints; infinite when it was not measured.</summary>
    /// <param name="position">As for <see cref="BoundariesAt"/>.</param>
    internal double LossAt(double position)
    {
        if (Losses is null)
        {
            return double.PositiveInfinity;
        }

        (int from, double part) = Split(position);
        double a = from == 0 ? 0 : Losses[from - 1];
        return part == 0 ? a : Between(a, Losses[from], part);
    }

    // rounding must not carry it past the end, or what falls from waypoint to waypoint would rise at one
    private static double Between(double a, double b, double part)
    {
        double value = a + ((b - a) * part);
        return a < b ? Math.Min(value, b) : Math.Max(value, b);
    }

    private static (int From, double Part) Split(double position)
    {
        int from = (int)position;
        return (from, position - from);
    }
}
