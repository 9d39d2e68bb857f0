using System.Text.Json;

namespace Foretoken.Schemas;

/// <summary>A normalised schema: what the grammar can follow, and beside it what only <see cref="SchemaValidator"/> checks.</summary>
internal abstract record SchemaNode;

/// <summary>Any JSON.</summary>
internal sealed record AnyNode : SchemaNode
{
    internal static AnyNode Instance { get; } = new();
}

/// <summary>A schema that refers to itself, or that several places share.</summary>
internal sealed record ReferenceNode(SchemaDefinition Target) : SchemaNode;

internal sealed record UnionNode(IReadOnlyList<SchemaNode> Alternatives) : SchemaNode;

/// <summary>One of some values.</summary>
internal sealed record EnumNode(IReadOnlyList<JsonElement> Values) : SchemaNode;

internal sealed record NullNode : SchemaNode
{
    internal static NullNode Instance { get; } = new();
}

internal sealed record BooleanNode : SchemaNode
{
    internal static BooleanNode Instance { get; } = new();
}

/// <summary>A number within bounds; <see cref="IsInteger"/> ones are generated within them, others only checked.</summary>
internal sealed record NumberNode : SchemaNode
{
    internal bool IsInteger { get; init; }
    internal NumberBound? Min { get; init; }
    internal NumberBound? Max { get; init; }
    internal decimal? MultipleOf { get; init; }
}

/// <summary>An inclusive or exclusive bound.</summary>
internal readonly record struct NumberBound(decimal Value, bool IsExclusive);

internal sealed record StringNode : SchemaNode
{
    /// <summary>What is generated, as <see cref="PatternWriter"/> writes it.</summary>
    internal required string JsonPattern { get; init; }

    /// <summary>What the schema says; null for none.</summary>
    internal string? Pattern { get; init; }
    internal int MinLength { get; init; }
    internal int? MaxLength { get; init; }
    internal IReadOnlyList<string> Denied { get; init; } = [];
}

internal sealed record ArrayNode : SchemaNode
{
    /// <summary>Items that each have a schema of their own, in front of those of <see cref="Item"/>.</summary>
    internal IReadOnlyList<SchemaNode> First { get; init; } = [];

    /// <summary>Null when there is none behind <see cref="First"/>.</summary>
    internal SchemaNode? Item { get; init; }
    internal int MinItems { get; init; }
    internal int? MaxItems { get; init; }
    internal bool AreUnique { get; init; }

    /// <summary>Whether the counts are part of the grammar.</summary>
    internal bool IsCounted { get; init; } = true;
}

internal sealed record ObjectNode : SchemaNode
{
    internal IReadOnlyList<PropertyNode> Properties { get; init; } = [];

    /// <summary>Values of other properties; null when none are generated.</summary>
    internal SchemaNode? Additional { get; init; }

    /// <summary>Whether the schema forbids other properties, rather than saying nothing about them.</summary>
    internal bool IsClosed { get; init; }
    internal int MinProperties { get; init; }
    internal int? MaxProperties { get; init; }
}

internal sealed record PropertyNode(string Name, SchemaNode Schema, bool IsRequired);

/// <summary>A schema with a name, which references lead to.</summary>
internal sealed class SchemaDefinition(string name)
{
    /// <summary>Unique among all schemas of a request.</summary>
    internal string Name { get; } = name;

    /// <summary>Null as long as it is being normalised.</summary>
    internal SchemaNode? Schema { get; set; }

    /// <summary>How many JSON values lie around the place where it began.</summary>
    internal int Level { get; set; }
}
