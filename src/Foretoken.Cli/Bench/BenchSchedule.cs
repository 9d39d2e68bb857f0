namespace Foretoken.Cli.Bench;

/// <summary>Who runs.</summary>
internal enum BenchSide
{
    Foretoken,
    Baseline,
    Rival,
}

/// <summary>One run of a round.</summary>
/// <param name="Side">Who runs.</param>
/// <param name="Index">The case of our side, by its place in the list of cases; the rival's place in the list of rivals; 0 for the baseline.</param>
/// <param name="Length">Tokens of the prompt.</param>
/// <param name="Position">Place in the round, from 0.</param>
internal readonly record struct BenchSlot(BenchSide Side, int Index, int Length, int Position);

/// <summary>
/// The order of the runs. A round has every case once, together with the baseline's runs of its length, lengths and runs
/// shuffled by the seed. Every other round is the one before it backwards, so that whatever drifts while the benchmark runs
/// meets all of them alike.
/// </summary>
internal static class BenchSchedule
{
    internal const string Order =
        "rounds of every row once beside the baseline's runs of its length; lengths, and runs within a length, shuffled by the seed; every other round backwards";

    /// <summary>
    /// The baseline's runs per length and round that make the ratios most precise for the time they take: the square root of
    /// the number of rows they are compared with (Dunnett, "A multiple comparison procedure for comparing several treatments
    /// with a control", 1955).
    /// </summary>
    internal static int BaselineRuns(int cases) => Math.Max(1, (int)Math.Round(Math.Sqrt(cases)));

    /// <summary>The runs of all rounds.</summary>
    /// <param name="cases">The cases of our side.</param>
    /// <param name="rivals">How many rivals take part.</param>
    /// <param name="rounds">How many rounds.</param>
    /// <param name="seed">Decides the order, and nothing else does.</param>
    internal static IReadOnlyList<IReadOnlyList<BenchSlot>> Rounds(
        IReadOnlyList<BenchCase> cases,
        int rivals,
        int rounds,
        int seed
    )
    {
#pragma warning disable CA5394 // a repeatable order, not a secret
        Random random = new(seed);
#pragma warning restore CA5394
        List<IReadOnlyList<BenchSlot>> all = [];
        BenchSlot[] forwards = [];
        for (int round = 0; round < rounds; round++)
        {
            BenchSlot[] order = round % 2 == 0 ? forwards = Shuffled(cases, rivals, random) : [.. forwards.Reverse()];
            all.Add([.. order.Select((slot, position) => slot with { Position = position })]);
        }
        return all;
    }

    /// <summary>The runs that are thrown away: everything once at the shortest length.</summary>
    internal static IReadOnlyList<BenchSlot> WarmUp(IReadOnlyList<BenchCase> cases, int rivals)
    {
        int shortest = cases.Min(what => what.PromptTokens);
        BenchSlot[] all = [.. Slots(cases, rivals, shortest)];
        return [.. all.DistinctBy(slot => (slot.Side, slot.Index))];
    }

    private static BenchSlot[] Shuffled(IReadOnlyList<BenchCase> cases, int rivals, Random random)
    {
        int[] lengths = [.. cases.Select(what => what.PromptTokens).Distinct()];
        List<BenchSlot> order = [];
#pragma warning disable CA5394
        random.Shuffle(lengths);
        foreach (int length in lengths)
        {
            BenchSlot[] block = [.. Slots(cases, rivals, length)];
            random.Shuffle(block);
            order.AddRange(block);
        }
#pragma warning restore CA5394
        return [.. order];
    }

    private static IEnumerable<BenchSlot> Slots(IReadOnlyList<BenchCase> cases, int rivals, int length)
    {
        int[] here = [.. Enumerable.Range(0, cases.Count).Where(i => cases[i].PromptTokens == length)];
        return
        [
            .. here.Select(i => new BenchSlot(BenchSide.Foretoken, i, length, 0)),
            .. Enumerable
                .Range(0, BaselineRuns(here.Length))
                .Select(_ => new BenchSlot(BenchSide.Baseline, 0, length, 0)),
            .. Enumerable.Range(0, rivals).Select(i => new BenchSlot(BenchSide.Rival, i, length, 0)),
        ];
    }
}
