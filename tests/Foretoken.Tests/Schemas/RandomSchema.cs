using System.Globalization;
using System.Text.Json.Nodes;

namespace Foretoken.Tests.Schemas;

/// <summary>JSON schemas at random: keywords in all combinations, references, contradictions, and values that are no schema.</summary>
internal sealed class RandomSchema(Random random)
{
    private static readonly string[] Names =
    [
        "a",
        "b",
        "c",
        "$type",
        "a-b",
        "x y",
        "é",
        "*",
        "]",
        "\"",
        "",
        "root",
        "value",
        "😀",
    ];

    private static readonly string[] Types = ["object", "array", "string", "integer", "number", "boolean", "null"];

    private static readonly string[] Formats =
    [
        "date",
        "time",
        "date-time",
        "uuid",
        "uri",
        "email",
        "ipv4",
        "int32",
        "other",
    ];

    private static readonly string[] References =
    [
        "#",
        "#/$defs/A",
        "#/$defs/B",
        "#/$defs/C",
        "#/properties/a",
        "#/properties/b/items",
        "#/nowhere",
        "other.json",
    ];

    private int _budget;

    public string Next()
    {
        _budget = 60;
        JsonNode? schema = Schema(0);
        if (schema is JsonObject root && random.Next(2) == 0)
        {
            JsonObject definitions = [];
            foreach (string name in (string[])["A", "B", "C"])
            {
                _budget = 15;
                definitions[name] = Schema(1);
            }
            root["$defs"] = definitions;
        }
        return schema?.ToJsonString() ?? "null";
    }

    private JsonNode? Schema(int depth)
    {
        _budget--;
        if (random.Next(40) == 0)
        {
            return random.Next(4) switch
            {
                0 => true,
                1 => false,
                2 => new JsonObject(),
                _ => Value(depth),
            };
        }
        JsonObject schema = [];
        if (random.Next(8) == 0)
        {
            schema["$ref"] = References[random.Next(References.Length)];
            if (random.Next(2) == 0)
            {
                return schema;
            }
        }
        if (random.Next(12) > 0)
        {
            schema["type"] =
                random.Next(6) == 0
                    ? new JsonArray([
                        .. Enumerable
                            .Range(0, random.Next(1, 4))
                            .Select(_ => (JsonNode)Types[random.Next(Types.Length)]),
                    ])
                    : Types[random.Next(depth > 3 || _budget < 0 ? 2 : 0, Types.Length)];
        }
        for (int n = random.Next(1, 5); n > 0; n--)
        {
            Add(schema, depth);
        }
        return schema;
    }

    private void Add(JsonObject schema, int depth)
    {
        bool deeper = depth < 6 && _budget > 0;
        switch (random.Next(26))
        {
            case 0 or 1 or 2 when deeper:
                JsonObject properties = [];
                for (int n = random.Next(0, 5); n > 0; n--)
                {
                    properties[Names[random.Next(Names.Length)]] = Schema(depth + 1);
                }
                schema["properties"] = properties;
                schema["required"] = new JsonArray([
                    .. properties.Where(_ => random.Next(2) == 0).Select(property => (JsonNode)property.Key),
                ]);
                break;
            case 3 or 4 when deeper:
                schema["items"] = Schema(depth + 1);
                break;
            case 5 when deeper:
                schema["prefixItems"] = Schemas(depth);
                break;
            case 6 or 7 when deeper:
                schema[random.Next(2) == 0 ? "anyOf" : "oneOf"] = Schemas(depth);
                break;
            case 8 when deeper:
                schema["allOf"] = Schemas(depth);
                break;
            case 9:
                schema["additionalProperties"] =
                    deeper && random.Next(2) == 0 ? Schema(depth + 1) : random.Next(2) == 0;
                break;
            case 10:
                schema["enum"] = new JsonArray([.. Enumerable.Range(0, random.Next(0, 4)).Select(_ => Value(depth))]);
                break;
            case 11:
                schema["const"] = Value(depth);
                break;
            case 12:
                schema["minLength"] = Count();
                break;
            case 13:
                schema["maxLength"] = Count();
                break;
            case 14:
                schema["minItems"] = Count();
                break;
            case 15:
                schema["maxItems"] = Count();
                break;
            case 16:
                schema["minimum"] = Number();
                break;
            case 17:
                schema["maximum"] = Number();
                break;
            case 18:
                schema["exclusiveMinimum"] = random.Next(4) == 0 ? true : Number();
                break;
            case 19:
                schema["exclusiveMaximum"] = Number();
                break;
            case 20:
                schema["pattern"] = new RandomPattern(random).Next();
                break;
            case 21:
                schema["format"] = Formats[random.Next(Formats.Length)];
                break;
            case 22 when random.Next(3) == 0:
                schema["not"] = deeper ? Schema(depth + 1) : true;
                break;
            case 23 when random.Next(5) == 0:
                string[] rare =
                [
                    "if",
                    "patternProperties",
                    "propertyNames",
                    "contains",
                    "uniqueItems",
                    "multipleOf",
                    "contentEncoding",
                ];
                schema[rare[random.Next(rare.Length)]] = Value(depth);
                break;
            case 24:
                schema["description"] = "d";
                break;
            case 25:
                schema["minProperties"] = Count();
                break;
        }
    }

    private JsonArray Schemas(int depth) =>
        new([.. Enumerable.Range(0, random.Next(0, 4)).Select(_ => Schema(depth + 1))]);

    private JsonNode? Count() =>
        random.Next(12) switch
        {
            0 => random.Next(5000),
            1 => 1_000_000_000_000,
            2 => -1,
            3 => 1.5,
            4 => "2",
            _ => random.Next(0, 8),
        };

    private JsonNode? Number() =>
        random.Next(10) switch
        {
            0 => 1e300,
            1 => -1e300,
            2 => long.MaxValue,
            3 => long.MinValue,
            4 => random.NextDouble() * 100,
            5 => random.NextInt64(long.MinValue, long.MaxValue).ToString(CultureInfo.InvariantCulture),
            6 => "2020-01-01",
            _ => random.Next(-1000, 1000),
        };

    private JsonNode? Value(int depth) =>
        random.Next(9) switch
        {
            0 => null,
            1 => true,
            2 => random.Next(100),
            3 => 1.25,
            4 => "text",
            5 => "\"\\\n😀",
            6 => new JsonArray(1, "a"),
            7 when depth < 4 => new JsonObject { ["a"] = Value(depth + 1) },
            _ => 1e22,
        };
}
