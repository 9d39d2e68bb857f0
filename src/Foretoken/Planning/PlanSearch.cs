using Foretoken.Plans;

namespace Foretoken.Planning;

/// <summary>Finds, for one prompt and within a budget, what plans reach.</summary>
internal readonly record struct PlanSearch
{
    // halving the distance of two waypoints this often resolves single tokens of prompts of any length that fits a context
    private const int Bisections = 40;

    private readonly PrefillPlanner _planner;
    private readonly PlanRequest _request;
    private readonly double _plainCost;
    private readonly double _plainDecode;
    private readonly bool _canThin;
    private readonly bool _canSkip;

    internal PlanSearch(
        PrefillPlanner planner,
        in PlanRequest request,
        bool canThin,
        double budget,
        bool canSkip = true
    )
    {
        _planner = planner;
        _request = request;
        _canThin = canThin;
        _canSkip = canSkip;
        Budget = budget;
        (int tokens, int past, int kept) = (request.NewTokens, request.PastTokens, request.AlwaysKept);
        _plainCost = planner.CostModel.Cost(PrefillPlan.KeepAll, tokens, past, kept);
        _plainDecode = planner.DecodeCost.Cost(PrefillPlan.KeepAll, tokens, past, kept);
    }

    /// <summary>The largest expected loss.</summary>
    internal double Budget { get; init; }

    /// <summary>Without schedules where tokens may not be left out, without options to skip where nothing may be skipped.</summary>
    internal IEnumerable<PlanFamily> Families
    {
        get
        {
            (bool canThin, bool canSkip) = (_canThin, _canSkip);
            return _planner.Families.Where(family =>
                (canThin || family.Schedule is null) && (canSkip || family.Skip is null)
            );
        }
    }

    /// <summary>
    /// The largest speedup of any plan within the budget, of those that reach a speedup of output tokens; 0 when there is none.
    /// </summary>
    internal double Fastest(double? decodeSpeedup = null)
    {
        double fastest = 0;
        foreach (PlanFamily family in Families)
        {
            foreach (double position in FastestPositions(family))
            {
                if (decodeSpeedup is null || DecodeSpeedupAt(family, position) >= decodeSpeedup)
                {
                    fastest = Math.Max(fastest, SpeedupAt(family, position));
                }
            }
        }

        return fastest;
    }

    /// <summary>The largest speedup of output tokens of any plan within the budget that reaches a speedup; 0 when there is none.</summary>
    internal double FastestDecode(double speedup)
    {
        double best = 0;
        foreach (PlanFamily family in Families)
        {
            foreach (double position in FastestPositions(family))
            {
                if (SpeedupAt(family, position) >= speedup)
                {
                    best = Math.Max(best, DecodeSpeedupAt(family, position));
                }
            }
        }

        return best;
    }

    /// <summary>The first place of a family that reaches both speedups; null where none does.</summary>
    internal double? FirstAt(in PlanFamily family, double speedup, double? decodeSpeedup)
    {
        if (family.Schedule is null)
        {
            return Reaches(family, 0, speedup, decodeSpeedup) ? 0 : null;
        }

        for (int from = 0; from < family.Length; from++)
        {
            if (!Reaches(family, from + 1, speedup, decodeSpeedup))
            {
                continue;
            }

            double tooLittle = 0;
            double enough = 1;
            for (int i = 0; i < Bisections; i++)
            {
                double middle = (tooLittle + enough) / 2;
                if (Reaches(family, from + middle, speedup, decodeSpeedup))
                {
                    enough = middle;
                }
                else
                {
                    tooLittle = middle;
                }
            }

            return from + enough;
        }

        return null;
    }

    /// <summary>
    /// The places of a family within the budget where speedups can be largest. Between two waypoints none ever falls, but where a
    /// further boundary appears, its overhead may cost more than it saves: so every waypoint counts, not only the last.
    /// </summary>
    private IEnumerable<double> FastestPositions(PlanFamily family)
    {
        if (family.Schedule is null)
        {
            if (family.LossAt(0) <= Budget)
            {
                yield return 0;
            }

            yield break;
        }

        for (int waypoint = 1; waypoint <= family.Length; waypoint++)
        {
            if (family.LossAt(waypoint) <= Budget)
            {
                yield return waypoint;
                continue;
            }

            // the loss is infinite where nothing was measured: there it bisects down to the beginning
            double last = LastWithin(family, waypoint - 1);
            if (last > waypoint - 1)
            {
                yield return last;
            }

            yield break;
        }
    }

    private double LastWithin(PlanFamily family, int from)
    {
        double within = 0;
        double over = 1;
        for (int i = 0; i < Bisections; i++)
        {
            double middle = (within + over) / 2;
            if (family.LossAt(from + middle) <= Budget)
            {
                within = middle;
            }
            else
            {
                over = middle;
            }
        }

        return from + within;
    }

    private bool Reaches(in PlanFamily family, double position, double speedup, double? decodeSpeedup) =>
        SpeedupAt(family, position) >= speedup
        && (decodeSpeedup is null || DecodeSpeedupAt(family, position) >= decodeSpeedup);

    private double SpeedupAt(in PlanFamily family, double position)
    {
        Span<PlanBoundary> boundaries = stackalloc PlanBoundary[_planner.MostBoundaries];
        return _plainCost
            / _planner.CostModel.CostOf(
                At(family, position, boundaries),
                family.Counted,
                family.Skip?.Routing?.Layer,
                prefillOnlyFrom: null,
                _request.NewTokens,
                _request.PastTokens,
                _request.AlwaysKept,
                _request.Probes
            );
    }

    private double DecodeSpeedupAt(in PlanFamily family, double position)
    {
        Span<PlanBoundary> boundaries = stackalloc PlanBoundary[_planner.MostBoundaries];
        return _plainDecode
            / _planner.DecodeCost.CostOf(
                At(family, position, boundaries),
                family.Counted,
                _request.NewTokens,
                _request.PastTokens,
                _request.AlwaysKept
            );
    }

    private ReadOnlySpan<PlanBoundary> At(in PlanFamily family, double position, Span<PlanBoundary> boundaries) =>
        family.Schedule is { } schedule
            ? boundaries[..schedule.BoundariesAt(position, _planner.CostModel.Shape.LayerCount, boundaries)]
            : [];
}
