using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Nodes;
using Foretoken.Schemas;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Schemas;

/// <summary>
/// Schemas that .NET makes of types: whatever the grammar allows can be read as the type. The texts are written from the grammar at
/// random, with numbers of few digits: a schema does not say how large an integer its type holds.
/// </summary>
public class SchemaTypesTests
{
    public static TheoryData<Type> Types =>
        [
            typeof(bool),
            typeof(int),
            typeof(string),
            typeof(char),
            typeof(double),
            typeof(Guid),
            typeof(DateTime),
            typeof(DateTimeOffset),
            typeof(DateOnly),
            typeof(TimeOnly),
            typeof(TimeSpan),
            typeof(TimeSpan?),
            typeof(Uri),
            typeof(Version),
            typeof(object),
            typeof(JsonElement),
            typeof(JsonNode),
            typeof(JsonObject),
            typeof(int?),
            typeof(Colour),
            typeof(Colour?),
            typeof(int[]),
            typeof(int?[]),
            typeof(List<Colour>),
            typeof(HashSet<int>),
            typeof(IEnumerable<object>),
            typeof(Dictionary<string, int>),
            typeof(Dictionary<string, List<Guid?>>),
            typeof(Dictionary<string, object>),
            typeof(Person),
            typeof(TwoLists),
            typeof(Nested),
            typeof(Tree),
            typeof(Chain),
            typeof(Folder),
            typeof(Shape),
            typeof(Group),
            typeof(Animal),
            typeof(Point),
            typeof(Everything),
            typeof(Annotated),
            typeof(List<Shape>),
        ];

    [Theory]
    [MemberData(nameof(Types))]
    public void What_the_grammar_allows_can_be_read_as_the_type(Type type)
    {
        JsonElement schema = AIJsonUtilities.CreateJsonSchema(type, serializerOptions: AIJsonUtilities.DefaultOptions);
        NormalizedSchema normalized = SchemaNormalizer.Normalize(schema, "the response format", "r");
        // nor what a decimal holds: 1e99 is a number
        string text = NativeGrammar.Of(normalized);
        Gbnf grammar = Gbnf.Parse(
            type == typeof(Annotated)
                ? text.Replace(" ([eE] [-+]? integral-part)?", "", StringComparison.Ordinal)
                : text
        );
        Random random = new(7);
        for (int i = 0; i < 100; i++)
        {
            string json = grammar.Sample(random, extra: 1, depth: 8);
            try
            {
                object? value = JsonSerializer.Deserialize(json, type, AIJsonUtilities.DefaultOptions);
                Assert.True(value is not null || json.Trim() == "null" || type == typeof(object), json);
            }
            catch (Exception e) when (e is JsonException or NotSupportedException)
            {
                throw new InvalidOperationException($"{json} is no {type.Name}: {e.Message}", e);
            }
            using JsonDocument document = JsonDocument.Parse(json);
            if (type != typeof(Annotated))
            {
                Assert.Null(normalized.FindFault(document.RootElement));
            }
        }
    }

    [Fact]
    public void Annotations_hold_where_the_grammar_can_say_so()
    {
        JsonElement schema = AIJsonUtilities.CreateJsonSchema(
            typeof(Annotated),
            serializerOptions: AIJsonUtilities.DefaultOptions
        );
        NormalizedSchema normalized = SchemaNormalizer.Normalize(schema, "the response format", "r");
        Gbnf grammar = Gbnf.Parse(
            NativeGrammar.Of(normalized).Replace(" ([eE] [-+]? integral-part)?", "", StringComparison.Ordinal)
        );
        Random random = new(3);
        string[] loosened = [nameof(Annotated.Share), nameof(Annotated.Price), nameof(Annotated.When)];
        for (int i = 0; i < 300; i++)
        {
            Annotated value = JsonSerializer.Deserialize<Annotated>(
                grammar.Sample(random),
                AIJsonUtilities.DefaultOptions
            )!;
            List<ValidationResult> faults = [];
            Validator.TryValidateObject(value, new ValidationContext(value), faults, validateAllProperties: true);
            // a property that may be left out has no value then, and "" or null for a required one is not the schema's to refuse;
            // and a URI may be of another kind than the three that [Url] knows
            Assert.DoesNotContain(
                faults,
                fault =>
                    !fault.MemberNames.Any(name =>
                        loosened.Contains(name)
                        || name
                            is nameof(Annotated.Needed)
                                or nameof(Annotated.Small)
                                or nameof(Annotated.Allowed)
                                or nameof(Annotated.Link)
                    )
            );
        }
        Assert.Contains(normalized.Loosened, what => what.Contains("share", StringComparison.Ordinal));
        Assert.Contains(normalized.Loosened, what => what.Contains("long", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(long.MinValue + 2, long.MaxValue - 1)]
    [InlineData(-9_000_000_000_000_000_000L, 9_000_000_000_000_000_000L)]
    [InlineData(0L, 100L)]
    [InlineData(-100L, -1L)]
    [InlineData(-7L, 13L)]
    [InlineData(10L, 10L)]
    [InlineData(999L, 100_001L)]
    [InlineData(1L, null)]
    [InlineData(120L, null)]
    [InlineData(null, 120L)]
    [InlineData(null, -5L)]
    [InlineData(1_000_000_000_000_000_000L, null)]
    public void Integers_stay_within_their_bounds_and_reach_them(long? min, long? max)
    {
        string schema =
            $$"""{"type":"integer"{{(min is null ? "" : $",\"minimum\":{min}")}}{{(max is null ? "" : $",\"maximum\":{max}")}}}""";
        Gbnf grammar = Gbnf.Parse(NativeGrammar.Of(NormalizedSchema.Parse(schema, "a test")));
        Random random = new(5);
        for (int i = 0; i < 300; i++)
        {
            Int128 value = Int128.Parse(
                grammar.Sample(random, extra: 20),
                System.Globalization.CultureInfo.InvariantCulture
            );
            Assert.InRange(value, min ?? Int128.MinValue, max ?? Int128.MaxValue);
        }
        foreach (Int128 inside in new Int128?[] { min, max, min + 1, max - 1 }.OfType<Int128>())
        {
            if (inside >= (min ?? Int128.MinValue) && inside <= (max ?? Int128.MaxValue))
            {
                Assert.True(
                    grammar.Allows(inside.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                    $"{inside}"
                );
            }
        }
        foreach (Int128 outside in new Int128?[] { min - 1, max + 1 }.OfType<Int128>())
        {
            Assert.False(
                grammar.Allows(outside.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                $"{outside}"
            );
        }
    }

    [Theory]
    [InlineData("date", "2024-02-29", "2023-02-29", "2023-04-31", "0000-01-01")]
    [InlineData("date-time", "2024-12-31T23:59:59.1234567Z", "2024-12-31T24:00:00Z", "2024-12-31T10:00:00+15:00")]
    [InlineData("time", "23:59:59", "23:59:60", "24:00:00")]
    [InlineData("uuid", "0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b")]
    [InlineData("uri", "https://example.org:8080/a%20b?c=d#e", "http://[", "https://")]
    [InlineData("email", "a.b+c@example.org", "a@", "@b")]
    [InlineData("ipv4", "255.0.10.1", "256.0.0.1")]
    public void Formats_allow_what_can_be_read(string format, string good, params string[] bad)
    {
        Gbnf grammar = Gbnf.Parse(
            NativeGrammar.Of(NormalizedSchema.Parse($$"""{"type":"string","format":"{{format}}"}""", "a test"))
        );
        Assert.True(grammar.Allows($"\"{good}\""));
        Assert.All(bad, text => Assert.False(grammar.Allows($"\"{text}\""), text));
    }
}
