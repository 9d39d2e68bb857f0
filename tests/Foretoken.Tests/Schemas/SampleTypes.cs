using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Foretoken.Tests.Schemas;

// what people ask a model for, and what .NET makes schemas of
internal enum Colour
{
    Red,
    Green,
    Blue,
}

internal sealed record Person(string Name, int Age);

internal sealed record TwoLists(List<Person> X, List<Person> Y);

internal sealed record Nested(
    Person Owner,
    Dictionary<string, Person> ByName,
    IReadOnlyList<Person[]> Groups,
    Colour? Favourite
);

internal sealed class Tree
{
    public string? Label { get; set; }
    public List<Tree>? Children { get; set; }
    public Tree? Left { get; set; }
}

internal sealed class Chain
{
    public required string Text { get; set; }
    public required Chain? Next { get; set; }
}

internal sealed class Folder
{
    public Dictionary<string, Folder> Folders { get; set; } = [];
    public List<Document> Documents { get; set; } = [];
}

internal sealed class Document
{
    public Folder? Parent { get; set; }
    public required string Title { get; set; }
}

[JsonDerivedType(typeof(Circle), "circle")]
[JsonDerivedType(typeof(Square), "square")]
[JsonDerivedType(typeof(Group), "group")]
internal abstract class Shape
{
    public string? Label { get; set; }
}

internal sealed class Circle : Shape
{
    public double Radius { get; set; }
}

internal sealed class Square : Shape
{
    public required double Side { get; set; }
}

internal sealed class Group : Shape
{
    public List<Shape> Shapes { get; set; } = [];
}

[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(Cat), 1)]
[JsonDerivedType(typeof(Dog), 2)]
internal record Animal(string Name);

internal sealed record Cat(string Name, bool Purrs) : Animal(Name);

internal sealed record Dog(string Name, Animal? Friend) : Animal(Name);

internal record struct Point(float X, float Y);

internal sealed class Everything
{
    public bool Bool { get; set; }
    public byte Byte { get; set; }
    public sbyte SByte { get; set; }
    public short Short { get; set; }
    public ushort UShort { get; set; }
    public int Int { get; set; }
    public long Long { get; set; }
    public Int128 Huge { get; set; }
    public float Float { get; set; }
    public double Double { get; set; }
    public Half Half { get; set; }
    public char Char { get; set; }
    public string String { get; set; } = "";
    public DateTime DateTime { get; set; }
    public DateTimeOffset DateTimeOffset { get; set; }
    public DateOnly DateOnly { get; set; }
    public TimeOnly TimeOnly { get; set; }
    public TimeSpan TimeSpan { get; set; }
    public Guid Guid { get; set; }
    public Uri? Uri { get; set; }
    public Version? Version { get; set; }
    public object? Object { get; set; }
    public JsonElement Element { get; set; }
    public JsonNode? Node { get; set; }
    public JsonObject? JsonObject { get; set; }
    public JsonArray? JsonArray { get; set; }
    public JsonDocument? JsonDocument { get; set; }
    public int? MaybeInt { get; set; }
    public bool? MaybeBool { get; set; }
    public Guid? MaybeGuid { get; set; }
    public TimeSpan? MaybeTimeSpan { get; set; }
    public DateTime? MaybeDateTime { get; set; }
    public DateTimeOffset? MaybeDateTimeOffset { get; set; }
    public Colour Colour { get; set; }
    public Colour? MaybeColour { get; set; }
    public KeyValuePair<string, int> Pair { get; set; }
    public Point Point { get; set; }
}

internal sealed class Annotated
{
    [Range(1, 10)]
    public int Small { get; set; }

    [Range(0.5, 1.5)]
    public double Share { get; set; }

    [RegularExpression(@"^(?:A|B)-\d{4}$")]
    public string? Code { get; set; }

    [RegularExpression("[A-Z]{3}")]
    public string? Airport { get; set; }

    [StringLength(10, MinimumLength = 2)]
    public string? Short { get; set; }

    [StringLength(5000)]
    public string? Long { get; set; }

    [Range(typeof(long), "-9000000000000000000", "9000000000000000000")]
    public long Huge { get; set; }

    [Range(typeof(decimal), "0", "1")]
    public decimal Price { get; set; }

    [Range(typeof(DateTime), "2020-01-01", "2030-01-01")]
    public DateTime When { get; set; }

    [MaxLength(3)]
    public int[]? Few { get; set; }

    [MinLength(1)]
    public List<string>? Some { get; set; }

    [Length(1, 5)]
    public string? Between { get; set; }

    [EmailAddress]
    public string? Mail { get; set; }

    [Url]
    public string? Link { get; set; }

    [AllowedValues("a", "b", null)]
    public string? Allowed { get; set; }

    [DeniedValues("x", "yes")]
    public string? Denied { get; set; }

    [Base64String]
    public string? Bytes { get; set; }

    [Required]
    public string? Needed { get; set; }
}
