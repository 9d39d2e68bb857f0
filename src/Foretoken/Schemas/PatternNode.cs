namespace Foretoken.Schemas;

/// <summary>A regular expression as a tree. It describes a whole string.</summary>
internal abstract record PatternNode
{
    private const double TooMany = 1e9;

    internal static PatternNode Empty { get; } = new PatternSequence([]);

    /// <summary>Whether it matches the empty string.</summary>
    internal abstract bool IsNullable { get; }

    /// <summary>Characters of whatever it matches; null where that differs.</summary>
    internal abstract long? Width { get; }

    /// <summary>An upper bound of the places in the pattern that one text can have led to, which a grammar tracks at once.</summary>
    internal abstract double Ways { get; }

    /// <summary>Characters of the shortest text that it matches.</summary>
    internal abstract double Shortest { get; }

    private protected static double AtMost(double ways) => Math.Min(TooMany, ways);
}

/// <summary>One character of a set.</summary>
internal sealed record PatternSet(CharSet Set) : PatternNode
{
    internal override bool IsNullable => false;
    internal override long? Width => 1;
    internal override double Ways => 1;
    internal override double Shortest => 1;
}

internal sealed record PatternSequence(IReadOnlyList<PatternNode> Items) : PatternNode
{
    internal override bool IsNullable { get; } = Items.All(item => item.IsNullable);

    internal override long? Width { get; } = Items.Aggregate((long?)0, (sum, item) => sum + item.Width);

    // behind parts of fixed width there is one place only
    internal override double Ways { get; } = AtMost(Items.Where(item => item.Width is null).Sum(item => item.Ways) + 1);

    internal override double Shortest { get; } = AtMost(Items.Sum(item => item.Shortest));
}

internal sealed record PatternChoice(IReadOnlyList<PatternNode> Items) : PatternNode
{
    internal override bool IsNullable { get; } = Items.Any(item => item.IsNullable);

    internal override long? Width { get; } = Items.All(item => item.Width == Items[0].Width) ? Items[0].Width : null;

    internal override double Ways { get; } = AtMost(Items.Sum(item => item.Ways));

    internal override double Shortest { get; } = Items.Min(item => item.Shortest);
}

/// <summary>At least <see cref="Min"/> and at most <see cref="Max"/> times; null for no limit.</summary>
internal sealed record PatternRepeat(PatternNode Item, int Min, int? Max) : PatternNode
{
    internal override bool IsNullable { get; } = Min == 0 || Item.IsNullable;

    internal override long? Width { get; } = Min == Max && Item.Width < int.MaxValue ? Min * Item.Width : null;

    internal override double Ways { get; } =
        AtMost(Item.Width is null ? Item.Ways * Math.Max(1, Max ?? Min) : Item.Ways);

    internal override double Shortest { get; } = AtMost(Min * Item.Shortest);
}

internal enum PatternPlace
{
    Start,
    End,
    WordBoundary,
}

/// <summary>A place between characters; only in trees that <see cref="PatternParser"/> has not finished.</summary>
internal sealed record PatternAnchor(PatternPlace Place, string Text) : PatternNode
{
    internal override bool IsNullable => true;
    internal override long? Width => 0;
    internal override double Ways => 1;
    internal override double Shortest => 0;
}
