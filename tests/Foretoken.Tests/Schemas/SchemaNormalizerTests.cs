using System.Globalization;
using System.Text;
using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Schemas;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Schemas;

/// <summary>Schemas of people and programs, before anything native sees them.</summary>
public class SchemaNormalizerTests
{
    [Theory]
    [InlineData(
        """{"type":"object","properties":{"n":{"type":"string","minLength":5,"maxLength":2}}}""",
        "'n'",
        "minLength"
    )]
    [InlineData("""{"type":"string","minLength":5,"maxLength":2}""", "a test", "minLength")]
    [InlineData("""{"type":"array","minItems":3,"maxItems":1}""", "a test", "minItems")]
    [InlineData("""{"type":"array","items":{"type":"integer","minimum":5,"maximum":2}}""", "'[]'", "minimum")]
    [InlineData("""{"type":"number","exclusiveMinimum":1,"maximum":1}""", "a test", "minimum")]
    [InlineData("""{"properties":{"a":{"enum":[]}}}""", "'a'", "enum")]
    [InlineData("""{"properties":{"a":{"type":"string","enum":[1,2]}}}""", "'a'", "enum")]
    [InlineData("""{"allOf":[{"enum":[1]},{"enum":[2]}]}""", "a test", "enum")]
    [InlineData("""{"type":"object","properties":{"a":false},"required":["a"]}""", "'a'", "required")]
    [InlineData("false", "a test", "no value")]
    [InlineData("""{"type":"object","minProperties":3,"maxProperties":2}""", "a test", "minProperties")]
    public void What_contradicts_itself_is_refused_by_name(string schema, string place, string what)
    {
        GrammarException error = Assert.Throws<GrammarException>(() => Normalize(schema));
        Assert.Contains(place, error.Message, StringComparison.Ordinal);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"properties":{"a":{"if":{"const":1},"then":false}}}""", "if")]
    [InlineData("""{"properties":{"a":{"patternProperties":{"^x":{}}}}}""", "patternProperties")]
    [InlineData("""{"properties":{"a":{"not":{"minLength":3}}}}""", "not")]
    [InlineData("""{"properties":{"a":{"$ref":"other.json"}}}""", "other.json")]
    [InlineData("""{"properties":{"a":{"$ref":"#/$defs/none"}}}""", "#/$defs/none")]
    [InlineData("""{"properties":{"a":{"type":"string","pattern":"(?=x)y"}}}""", "lookahead")]
    [InlineData("""{"properties":{"a":{"type":"word"}}}""", "word")]
    [InlineData(
        """{"properties":{"a":{"type":"string","allOf":[{"pattern":"^a$"},{"pattern":"^b$"}]}}}""",
        "two patterns"
    )]
    [InlineData("""{"properties":{"a":7}}""", "7")]
    public void What_cannot_be_honoured_is_refused_naming_the_property(string schema, string what)
    {
        GrammarException error = Assert.Throws<GrammarException>(() => Normalize(schema));
        Assert.Contains("'a'", error.Message, StringComparison.Ordinal);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"$ref":"#"}""")]
    [InlineData("""{"allOf":[{"$ref":"#"}]}""")]
    [InlineData("""{"anyOf":[{"$ref":"#"},{"type":"null"}]}""")]
    [InlineData(
        """{"$defs":{"A":{"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}},"properties":{"a":{"$ref":"#/$defs/A"}}}"""
    )]
    public void References_that_lead_to_themselves_alone_end(string schema)
    {
        try
        {
            Assert.NotNull(NativeGrammar.Of(Normalize(schema)));
        }
        catch (GrammarException e)
        {
            Assert.Contains("refers to itself", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Values_that_would_have_to_hold_themselves_are_refused()
    {
        GrammarException error = Assert.Throws<GrammarException>(() =>
            Normalize("""{"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]}""")
        );
        Assert.Contains("hold itself", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Values_that_no_answer_can_be_long_enough_for_are_refused()
    {
        const string Many = "\"type\":\"array\",\"minItems\":500";
        GrammarException error = Assert.Throws<GrammarException>(() =>
            Normalize($"{{{Many},\"items\":{{{Many},\"items\":{{\"type\":\"null\"}}}}}}")
        );
        Assert.Contains("smallest", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void References_in_a_response_format_are_what_they_refer_to()
    {
        Gbnf grammar = Grammar(
            """{"type":"object","properties":{"colour":{"$ref":"#/$defs/C"}},"required":["colour"],"$defs":{"C":{"enum":["red","blue"]}}}"""
        );
        Assert.True(grammar.Allows("""{"colour":"red"}"""));
        Assert.False(grammar.Allows("""{"colour":{}}"""));
        Assert.False(grammar.Allows("""{"colour":"green"}"""));
    }

    [Fact]
    public void A_reference_to_the_whole_schema_is_recursive()
    {
        Gbnf grammar = Grammar(
            """{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["v","next"]}"""
        );
        Assert.True(grammar.Allows("""{"v":1,"next":{"v":2,"next":null}}"""));
        Assert.False(grammar.Allows("""{"v":1,"next":{"v":"2","next":null}}"""));
    }

    [Fact]
    public void The_same_reference_of_two_schemas_gets_two_names()
    {
        const string Text = """{"properties":{"a":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"string"}}}""";
        string[] names =
        [
            .. SchemaNormalizer.NormalizeArguments(Parse(Text), "one", "t0").Definitions.Select(d => d.Name),
            .. SchemaNormalizer.NormalizeArguments(Parse(Text), "two", "t1").Definitions.Select(d => d.Name),
        ];
        Assert.Equal(2, names.Distinct().Count());
    }

    [Fact]
    public void Alternatives_keep_what_stands_beside_them()
    {
        Gbnf grammar = Grammar(
            """{"type":"object","required":["k"],"anyOf":[{"properties":{"k":{"const":"x"},"n":{"type":"integer"}}},{"properties":{"k":{"const":"y"}}}]}"""
        );
        Assert.True(grammar.Allows("""{"k":"x","n":1}"""));
        Assert.True(grammar.Allows("""{"k":"y"}"""));
        Assert.False(grammar.Allows("""{"n":1}"""));
        Assert.False(grammar.Allows("""{"k":"y","n":1}"""));
    }

    [Fact]
    public void AllOf_is_all_of_it()
    {
        Gbnf grammar = Grammar(
            """{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":2}},"required":["a"]},{"properties":{"a":{"maximum":3},"b":{"type":"boolean"}},"required":["b"]}]}"""
        );
        Assert.True(grammar.Allows("""{"a":2,"b":true}"""));
        Assert.False(grammar.Allows("""{"a":4,"b":true}"""));
        Assert.False(grammar.Allows("""{"a":2}"""));
    }

    [Fact]
    public void True_and_empty_schemas_are_any_JSON()
    {
        foreach (string schema in (string[])["true", "{}", """{"description":"anything"}"""])
        {
            Gbnf grammar = Grammar(schema);
            Assert.All(
                (string[])["1", "\"a\"", "null", "[1,{}]", """{"a":[true]}"""],
                text => Assert.True(grammar.Allows(text), text)
            );
        }
    }

    [Fact]
    public void Denied_strings_are_not_allowed()
    {
        Gbnf grammar = Grammar("""{"type":"string","not":{"enum":["no","none","ä"]}}""");
        Assert.All(
            (string[])["\"\"", "\"n\"", "\"non\"", "\"nor\"", "\"nones\"", "\"yes\"", "\"a\""],
            text => Assert.True(grammar.Allows(text), text)
        );
        Assert.All((string[])["\"no\"", "\"none\"", "\"ä\""], text => Assert.False(grammar.Allows(text), text));
    }

    [Fact]
    public void Bounds_beyond_the_limits_are_loosened_and_said_so()
    {
        NormalizedSchema schema = Normalize(
            """{"properties":{"s":{"type":"string","minLength":3,"maxLength":100000},"l":{"type":"array","items":{"type":"integer"},"minItems":5000}}}"""
        );
        Assert.Equal(2, schema.Loosened.Count);
        Assert.Contains(schema.Loosened, what => what.StartsWith("'s'", StringComparison.Ordinal));
        Assert.NotNull(NativeGrammar.Of(schema));
        Assert.NotNull(schema.FindFault(Parse("""{"l":[1]}""")));
    }

    [Fact]
    public void A_length_beside_a_pattern_of_one_repeated_part_holds()
    {
        Gbnf grammar = Grammar("""{"type":"string","pattern":"^[A-Z]+$","minLength":2,"maxLength":3}""");
        Assert.True(grammar.Allows("\"ABC\""));
        Assert.False(grammar.Allows("\"A\""));
        Assert.False(grammar.Allows("\"ABCD\""));
    }

    [Fact]
    public void What_is_too_deep_or_too_large_ends_in_an_exception()
    {
        StringBuilder deep = new();
        for (int i = 0; i < 30_000; i++)
        {
            deep.Append("""{"items":""");
        }
        deep.Append("{}").Append('}', 30_000);
        using JsonDocument document = JsonDocument.Parse(
            deep.ToString(),
            new JsonDocumentOptions { MaxDepth = 100_000 }
        );
        GrammarException error = Assert.Throws<GrammarException>(() =>
            SchemaNormalizer.Normalize(document.RootElement, "a test", "r")
        );
        Assert.Contains("64", error.Message, StringComparison.Ordinal);

        string many = Object(Enumerable.Range(0, 6000).Select(i => $"\"p{i}\":{{}}"));
        Assert.Contains(
            "5000",
            Assert.Throws<GrammarException>(() => Normalize(many)).Message,
            StringComparison.Ordinal
        );

        // doubles with every level when references are copied
        StringBuilder doubling = new("""{"$ref":"#/$defs/d0","$defs":{""");
        for (int i = 0; i < 60; i++)
        {
            doubling.Append(
                CultureInfo.InvariantCulture,
                $"\"d{i}\":{Object([$"\"l\":{{\"$ref\":\"#/$defs/d{i + 1}\"}}", $"\"r\":{{\"$ref\":\"#/$defs/d{i + 1}\"}}"])},"
            );
        }
        doubling.Append(
            """
            "d60":{"type":"null"}}}
            """
        );
        Assert.NotNull(NativeGrammar.Of(Normalize(doubling.ToString())));
    }

    [Fact]
    public void Many_optional_properties_are_prepared_in_time_or_refused()
    {
        string Schema(int count) =>
            Object(Enumerable.Range(0, count).Select(i => $"\"property{i}\":{{\"type\":\"string\"}}"));
        Assert.NotNull(NativeGrammar.Of(Normalize(Schema(SchemaNormalizer.MaxOptionalProperties))));
        GrammarException error = Assert.Throws<GrammarException>(() =>
            Normalize(Schema(SchemaNormalizer.MaxOptionalProperties + 1))
        );
        Assert.Contains("optional", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_that_is_not_Unicode_is_refused()
    {
        Assert.Throws<GrammarException>(() => Normalize("""{"enum":["\ud800"]}"""));
        Assert.Throws<GrammarException>(() => Normalize("""{"properties":{"\ud800":{}}}"""));
    }

    /// <summary>Either a grammar, whose every text fits the schema as far as it was not loosened, or an exception that says why not.</summary>
    [Fact]
    public void Generated_schemas_become_grammars_or_are_refused()
    {
        int converted = 0;
        int all = 0;
        foreach (int seed in Fuzz.Seeds(1_000))
        {
            Random random = new(seed);
            string text = new RandomSchema(random).Next();
            all++;
            try
            {
                NormalizedSchema schema = SchemaNormalizer.Normalize(Parse(text), "a test", "r");
                Gbnf grammar = Gbnf.Parse(NativeGrammar.Of(schema));
                converted++;
                for (int i = 0; i < 3; i++)
                {
                    string json = grammar.Sample(random, extra: 1, depth: 10);
                    using JsonDocument value = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 1000 });
                    string? fault = schema.FindFault(value.RootElement);
                    Assert.True(fault is null || schema.Loosened.Count > 0, $"{json}: {fault}");
                }
            }
            catch (GrammarException e) when (e.Message.Contains("a test", StringComparison.Ordinal))
            {
                // refused with a reason, in managed code
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}, schema {text}: {e.Message}", e);
            }
        }
        Assert.InRange(converted, all / 5, all);
    }

    private static string Object(IEnumerable<string> properties) =>
        $"{{\"properties\":{{{string.Join(',', properties)}}}}}";

    private static Gbnf Grammar(string schema) => Gbnf.Parse(NativeGrammar.Of(Normalize(schema)));

    private static NormalizedSchema Normalize(string schema) =>
        SchemaNormalizer.Normalize(Parse(schema), "a test", "r");

    private static JsonElement Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.Clone();
    }
}
