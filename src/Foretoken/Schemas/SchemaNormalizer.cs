using System.Globalization;
using System.Text;
using System.Text.Json;
using Foretoken.Errors;

namespace Foretoken.Schemas;

/// <summary>
/// Turns a JSON schema, as .NET or a person writes it, into what the native conversion to a grammar understands without exception:
/// references resolved or renamed, alternatives with what stands beside them, patterns about the text of JSON strings, bounds that
/// are within limits. What the grammar cannot follow but a reader can check stays in the tree for <see cref="SchemaValidator"/>.
/// What neither can, and what contradicts itself, is refused by the name of its property.
/// </summary>
internal sealed class SchemaNormalizer
{
    /// <summary>Levels of JSON in a schema, and of schemas in one another.</summary>
    internal const int MaxDepth = 64;

    /// <summary>Characters of a schema.</summary>
    internal const int MaxLength = 1_000_000;

    /// <summary>Schemas in a schema, references resolved.</summary>
    internal const int MaxNodes = 5_000;

    /// <summary>Properties of one object that may be left out: llama.cpp's grammar has a rule for every two of them.</summary>
    internal const int MaxOptionalProperties = 100;

    /// <summary>llama.cpp repeats an item with its separator this often at most.</summary>
    internal const int MaxItems = 600;

    // values that an answer has to hold at least
    private const int MaxSmallest = 100_000;

    private const int MaxAlternatives = 200;
    private const int MaxNameLength = 200;
    private const int MaxPathLength = 2_000;

    // beyond every integer of 64 bits
    private const decimal LargestBound = 1e20m;

    // what the counts of all strings and arrays of a schema add up to
    private const long MaxCost = 50_000;

    private static readonly string[] AllTypes = ["object", "array", "string", "integer", "number", "boolean", "null"];

    // refused: they change which values fit, and neither the grammar nor the check knows them
    private static readonly string[] Unsupported =
    [
        "if",
        "then",
        "else",
        "patternProperties",
        "propertyNames",
        "dependentSchemas",
        "dependentRequired",
        "dependencies",
        "unevaluatedProperties",
        "unevaluatedItems",
        "$dynamicRef",
        "$recursiveRef",
        "contains",
        "minContains",
        "maxContains",
    ];

    private static readonly JsonElement AnyObject = ParseElement("""{"type":"object"}"""u8.ToArray());

    private readonly JsonElement _root;
    private readonly string _subject;
    private readonly string _prefix;
    private readonly CancellationToken _cancellationToken;
    private readonly Dictionary<string, SchemaDefinition> _definitions = [];
    private readonly List<string> _loosened = [];
    private int _nodes;
    private int _depth;
    private int _level;
    private long _cost;

    private SchemaNormalizer(JsonElement root, string subject, string prefix, CancellationToken cancellationToken)
    {
        _root = root;
        _subject = subject;
        _prefix = prefix;
        _cancellationToken = cancellationToken;
    }

    /// <summary>Normalises the schema of a tool's arguments, which are an object in any case.</summary>
    /// <inheritdoc cref="Normalize(JsonElement, string, string, CancellationToken)"/>
    internal static NormalizedSchema NormalizeArguments(
        JsonElement schema,
        string subject,
        string prefix,
        CancellationToken cancellationToken = default
    ) => Normalize(schema, subject, prefix, isObject: true, cancellationToken);

    /// <summary>Normalises a schema.</summary>
    /// <param name="schema">The schema: an object, true or false.</param>
    /// <param name="subject">What the schema belongs to, for messages: "the response format".</param>
    /// <param name="prefix">What the names of its definitions begin with, unique in the request, of ASCII letters and digits.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <exception cref="GrammarException">It cannot be honoured, contradicts itself, or is too large.</exception>
    internal static NormalizedSchema Normalize(
        JsonElement schema,
        string subject,
        string prefix,
        CancellationToken cancellationToken = default
    ) => Normalize(schema, subject, prefix, isObject: false, cancellationToken);

    private static NormalizedSchema Normalize(
        JsonElement schema,
        string subject,
        string prefix,
        bool isObject,
        CancellationToken cancellationToken
    )
    {
        EnsureWithinLimits(schema, subject);
        SchemaNormalizer normalizer = new(schema, subject, prefix, cancellationToken);
        List<Part> parts = [new Part(schema, "#", IsReferred: false)];
        if (isObject)
        {
            parts.Add(new Part(AnyObject, "", IsReferred: false));
        }
        try
        {
            SchemaNode root =
                normalizer.Build(parts, Place.Root)
                ?? throw normalizer.Fail(Place.Root, "no value fits it: its types or its false exclude all of them");
            root = normalizer.WithoutEndless(root);
            SchemaDefinition[] definitions = [.. normalizer._definitions.Values];
            return new NormalizedSchema(subject, root, definitions, [.. normalizer._loosened.Distinct()]);
        }
        catch (InvalidOperationException e)
        {
            // of a JSON string that is no text
            throw new GrammarException($"The JSON schema of {subject} holds a text with half of a surrogate pair.", e);
        }
    }

    // JSON elements may have been read without a limit, and everything below is recursive
    private static void EnsureWithinLimits(JsonElement schema, string subject)
    {
        if (schema.ValueKind is not (JsonValueKind.Object or JsonValueKind.True or JsonValueKind.False))
        {
            throw new GrammarException(
                $"The schema of {subject} is {(schema.ValueKind == JsonValueKind.Undefined ? "missing" : schema.ValueKind.ToString().ToLowerInvariant())}; an object, true or false is possible."
            );
        }
        string text = schema.GetRawText();
        if (text.Length > MaxLength)
        {
            throw new GrammarException(
                $"The schema of {subject} has {text.Length} characters; {MaxLength} are possible. Leave out what the answer does not need."
            );
        }
        Utf8JsonReader reader = new(
            Encoding.UTF8.GetBytes(text),
            new JsonReaderOptions
            {
                MaxDepth = MaxDepth,
                CommentHandling = JsonCommentHandling.Skip,
                AllowTrailingCommas = true,
            }
        );
        try
        {
            while (reader.Read()) { }
        }
        catch (JsonException e)
        {
            throw new GrammarException(
                $"The schema of {subject} is nested deeper than {MaxDepth} levels. Name the inner schemas in $defs and refer to them, or make it flatter.",
                e
            );
        }
    }

    /// <summary>One of the schemas that a value has to fit; the pointer says where it stands.</summary>
    private readonly record struct Part(JsonElement Schema, string Pointer, bool IsReferred);

    /// <summary>Where in the value a schema applies.</summary>
    private readonly record struct Place(string Path)
    {
        internal static Place Root { get; } = new("");

        internal Place Property(string name) => new(Path.Length == 0 ? name : $"{Path}.{name}");

        internal Place Item() => new($"{Path}[]");

        internal Place Any() => new($"{Path}.*");
    }

    private GrammarException Fail(Place place, string why)
    {
        string where = place.Path.Length == 0 ? _subject : $"'{place.Path}' in {_subject}";
        return new GrammarException($"The JSON schema of {where} cannot be honoured: {why}.");
    }

    private void Loosen(Place place, string what) =>
        _loosened.Add(place.Path.Length == 0 ? what : $"'{place.Path}': {what}");

    /// <summary>The schema of values that fit all parts; null when none does.</summary>
    private SchemaNode? Build(IReadOnlyList<Part> parts, Place place)
    {
        _cancellationToken.ThrowIfCancellationRequested();
        if (++_nodes > MaxNodes)
        {
            throw new GrammarException(
                $"The JSON schema of {_subject} holds more than {MaxNodes} schemas, references and combinations resolved. Make it smaller."
            );
        }
        if (_depth >= MaxDepth || place.Path.Length > MaxPathLength)
        {
            throw new GrammarException(
                $"The JSON schema of {_subject} is nested deeper than {MaxDepth} levels, or its property names along one path have more than {MaxPathLength} characters. Make it flatter."
            );
        }
        _depth++;
        try
        {
            if (!Flatten(parts, place, out List<Part> all, out bool isReferred))
            {
                return null;
            }
            return isReferred ? BuildDefinition(all, place) : BuildBody(all, place);
        }
        finally
        {
            _depth--;
        }
    }

    /// <summary>Resolves references and takes allOf apart; false when a part is false.</summary>
    private bool Flatten(IReadOnlyList<Part> parts, Place place, out List<Part> all, out bool isReferred)
    {
        all = [];
        isReferred = false;
        Stack<Part> open = new(parts.Reverse());
        HashSet<string> seen = [];
        while (open.TryPop(out Part part))
        {
            if (part.Pointer.Length > 0 && !seen.Add(part.Pointer))
            {
                continue;
            }
            if (seen.Count > MaxNodes)
            {
                throw Fail(place, $"its references and allOf name more than {MaxNodes} schemas");
            }
            switch (part.Schema.ValueKind)
            {
                case JsonValueKind.True:
                    continue;
                case JsonValueKind.False:
                    return false;
                case JsonValueKind.Object:
                    break;
                default:
                    throw Fail(place, $"a schema is an object, true or false, not {part.Schema.GetRawText()}");
            }
            if (Find(part.Schema, "allOf") is { } allOf)
            {
                foreach (
                    (JsonElement child, int i) in Schemas(allOf, "allOf", place)
                        .Select((child, i) => (child, i))
                        .Reverse()
                )
                {
                    open.Push(new Part(child, $"{part.Pointer}/allOf/{i}", part.IsReferred));
                }
            }
            if (Find(part.Schema, "$ref") is { } reference)
            {
                open.Push(Resolve(reference, place));
            }
            if (Constrains(part.Schema))
            {
                all.Add(part);
                isReferred |= part.IsReferred;
            }
        }
        return true;
    }

    // what only describes, or says what holds anyway, does not count as another schema
    private static bool Constrains(JsonElement schema) =>
        schema
            .EnumerateObject()
            .Any(property =>
                property.Name
                    is not (
                        "$ref"
                        or "allOf"
                        or "$schema"
                        or "$id"
                        or "$anchor"
                        or "$comment"
                        or "$defs"
                        or "definitions"
                        or "title"
                        or "description"
                        or "default"
                        or "examples"
                        or "example"
                        or "deprecated"
                        or "readOnly"
                        or "writeOnly"
                    )
                && !(
                    property.Name is "items" or "additionalProperties" or "properties"
                    && property.Value.ValueKind is JsonValueKind.Object or JsonValueKind.True
                    && (property.Value.ValueKind == JsonValueKind.True || !property.Value.EnumerateObject().Any())
                    && (property.Name != "properties" || HasType(schema))
                )
            );

    private static bool HasType(JsonElement schema) => schema.TryGetProperty("type", out _);

    private Part Resolve(JsonElement reference, Place place)
    {
        string text =
            reference.ValueKind == JsonValueKind.String
                ? reference.GetString()!
                : throw Fail(place, $"$ref is a string, not {reference.GetRawText()}");
        if (text is not "#" && !text.StartsWith("#/", StringComparison.Ordinal))
        {
            throw Fail(
                place,
                $"the reference '{text}' leads out of the schema; only \"#\" and \"#/…\" within it are possible"
            );
        }
        JsonElement target = _root;
        StringBuilder pointer = new("#");
        foreach (string step in text.Split('/').Skip(1))
        {
            string name = Uri.UnescapeDataString(step)
                .Replace("~1", "/", StringComparison.Ordinal)
                .Replace("~0", "~", StringComparison.Ordinal);
            if (target.ValueKind == JsonValueKind.Object && target.TryGetProperty(name, out JsonElement member))
            {
                target = member;
            }
            else if (
                target.ValueKind == JsonValueKind.Array
                && int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int index)
                && index < target.GetArrayLength()
            )
            {
                target = target[index];
            }
            else
            {
                throw Fail(place, $"the reference '{text}' leads to nothing");
            }
            pointer
                .Append('/')
                .Append(name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal));
        }
        return new Part(target, pointer.ToString(), IsReferred: true);
    }

    /// <summary>Schemas that were referred to get a name, because they may lead to themselves again, and others may share them.</summary>
    private ReferenceNode? BuildDefinition(List<Part> all, Place place)
    {
        string key = string.Join('\n', all.Select(part => part.Pointer).Order(StringComparer.Ordinal));
        if (_definitions.TryGetValue(key, out SchemaDefinition? known))
        {
            if (known.Schema is null && known.Level == _level)
            {
                throw Fail(place, "it refers to itself without anything in between");
            }
            return known.Schema is { } schema && IsNothing(schema) ? null : new ReferenceNode(known);
        }
        SchemaDefinition definition = new($"{_prefix}d{_definitions.Count.ToString(CultureInfo.InvariantCulture)}")
        {
            Level = _level,
        };
        _definitions.Add(key, definition);
        definition.Schema = BuildBody(all, place) ?? new UnionNode([]);
        return IsNothing(definition.Schema) ? null : new ReferenceNode(definition);
    }

    private static bool IsNothing(SchemaNode schema) => schema is UnionNode { Alternatives.Count: 0 };

    private SchemaNode? BuildBody(List<Part> all, Place place)
    {
        foreach (Part part in all)
        {
            foreach (string keyword in Unsupported)
            {
                if (part.Schema.TryGetProperty(keyword, out _))
                {
                    throw Fail(place, $"'{keyword}' is not possible in a grammar; write the schema without it");
                }
            }
        }
        // alternatives, each with what stands beside them
        for (int i = 0; i < all.Count; i++)
        {
            foreach (string keyword in (string[])["anyOf", "oneOf"])
            {
                if (Find(all[i].Schema, keyword) is { } alternatives)
                {
                    return BuildUnion(all, i, keyword, alternatives, place);
                }
            }
        }
        return BuildTyped(all, place);
    }

    private SchemaNode? BuildUnion(List<Part> all, int index, string keyword, JsonElement alternatives, Place place)
    {
        Part owner = all[index];
        JsonElement beside = Without(owner.Schema, keyword);
        // this schema has its name already, if it needs one
        List<Part> others = [.. all.Select(part => part with { IsReferred = false })];
        others.RemoveAt(index);
        if (Constrains(beside))
        {
            // a pointer of its own: it is not the same schema as the one with the alternatives
            others.Add(new Part(beside, $"{owner.Pointer}~{keyword}", IsReferred: false));
        }
        List<SchemaNode> nodes = [];
        int i = 0;
        foreach (JsonElement alternative in Schemas(alternatives, keyword, place))
        {
            if (i == MaxAlternatives)
            {
                throw Fail(place, $"'{keyword}' has more than {MaxAlternatives} alternatives");
            }
            Part chosen = new(alternative, $"{owner.Pointer}/{keyword}/{i++}", IsReferred: false);
            // the type may stand outside of the alternatives and their properties inside
            if (Build([.. others, chosen], place) is { } node)
            {
                nodes.Add(node);
            }
        }
        if (nodes.Count == 0)
        {
            if (i == 0)
            {
                throw Fail(place, $"'{keyword}' has no alternatives");
            }
            return null;
        }
        return nodes.Count == 1 ? nodes[0] : new UnionNode(nodes);
    }

    private static JsonElement Without(JsonElement schema, string keyword)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            foreach (JsonProperty property in schema.EnumerateObject())
            {
                // both are resolved already
                if (property.Name != keyword && property.Name is not ("$ref" or "allOf" or "$defs" or "definitions"))
                {
                    property.WriteTo(json);
                }
            }
            json.WriteEndObject();
        }
        return ParseElement(stream.ToArray());
    }

    private static JsonElement ParseElement(ReadOnlyMemory<byte> utf8)
    {
        using JsonDocument document = JsonDocument.Parse(utf8);
        return document.RootElement.Clone();
    }

    private SchemaNode? BuildTyped(List<Part> all, Place place)
    {
        HashSet<string>? types = null;
        foreach (Part part in all)
        {
            if (Types(part.Schema, place) is { } some)
            {
                types = types is null ? some : Common(types, some);
            }
            if (Find(part.Schema, "not") is { } not)
            {
                types = WithoutDenied(not, types, place);
            }
        }
        types ??= Guess(all);
        List<JsonElement>? values = Values(all, place);
        if (types is null && values is null)
        {
            if (DeniedStrings(all).Count > 0)
            {
                Loosen(place, "the values that it denies are not excluded where any JSON is possible");
            }
            return AnyNode.Instance;
        }
        List<SchemaNode> nodes = [];
        foreach (string type in AllTypes)
        {
            // integers are numbers
            if (types is not null && !(types.Contains(type) && !(type == "integer" && types.Contains("number"))))
            {
                continue;
            }
            if (types is null && type == "integer")
            {
                continue;
            }
            if (values is not null && !values.Exists(value => IsOfType(value, type)))
            {
                continue;
            }
            SchemaNode? node = type switch
            {
                "object" => BuildObject(all, place),
                "array" => BuildArray(all, place),
                "string" => BuildString(all, place, isGenerated: values is null),
                "integer" => BuildNumber(all, place, isInteger: true, isGenerated: values is null),
                "number" => BuildNumber(all, place, isInteger: false, isGenerated: values is null),
                "boolean" => BooleanNode.Instance,
                _ => NullNode.Instance,
            };
            if (node is not null)
            {
                nodes.Add(node);
            }
        }
        if (values is not null)
        {
            SchemaNode allowed = new UnionNode(nodes);
            List<JsonElement> fitting = [.. values.Where(value => SchemaValidator.Fits(value, allowed))];
            return fitting.Count > 0
                ? new EnumNode(fitting)
                : throw Fail(place, "none of the values of its enum or const fits the rest of it");
        }
        return nodes.Count switch
        {
            0 => null,
            1 => nodes[0],
            _ => new UnionNode(nodes),
        };
    }

    private HashSet<string>? Types(JsonElement schema, Place place)
    {
        if (Find(schema, "type") is not { } type)
        {
            return null;
        }
        IEnumerable<JsonElement> each = type.ValueKind == JsonValueKind.Array ? type.EnumerateArray() : [type];
        HashSet<string> types = [];
        foreach (JsonElement one in each)
        {
            string? name = one.ValueKind == JsonValueKind.String ? one.GetString() : null;
            if (name is null || !AllTypes.Contains(name))
            {
                throw Fail(
                    place,
                    $"the type {one.GetRawText()} is unknown; {string.Join(", ", AllTypes)} are possible"
                );
            }
            types.Add(name);
        }
        if (types.Count == 0)
        {
            throw Fail(place, "'type' is an empty array");
        }
        // as OpenAPI 3.0 writes it
        if (Find(schema, "nullable") is { ValueKind: JsonValueKind.True })
        {
            types.Add("null");
        }
        return types;
    }

    private static HashSet<string> Common(HashSet<string> a, HashSet<string> b) =>
        [
            .. AllTypes.Where(type =>
                (a.Contains(type) || (type == "integer" && a.Contains("number")))
                && (b.Contains(type) || (type == "integer" && b.Contains("number")))
            ),
        ];

    // without a type, what is said about one type is meant for it
    private static HashSet<string>? Guess(List<Part> all)
    {
        HashSet<string> types = [];
        foreach (Part part in all)
        {
            foreach (JsonProperty property in part.Schema.EnumerateObject())
            {
                string? type = property.Name switch
                {
                    "properties" or "required" or "additionalProperties" or "minProperties" or "maxProperties" =>
                        "object",
                    "items" or "prefixItems" or "minItems" or "maxItems" or "uniqueItems" => "array",
                    "pattern" or "minLength" or "maxLength" or "contentEncoding" => "string",
                    "format" when property.Value.ValueKind == JsonValueKind.String => StringFormats.Find(
                        property.Value.GetString()!
                    )
                        is not null
                        ? "string"
                    : StringFormats.FindRange(property.Value.GetString()!) is not null ? "integer"
                    : null,
                    "minimum" or "maximum" or "exclusiveMinimum" or "exclusiveMaximum" or "multipleOf" => "number",
                    _ => null,
                };
                if (type is not null)
                {
                    types.Add(type);
                }
            }
        }
        return types.Count > 0 ? types : null;
    }

    private HashSet<string>? WithoutDenied(JsonElement not, HashSet<string>? types, Place place)
    {
        // strings that are denied are dealt with where strings are
        string[] names =
            not.ValueKind == JsonValueKind.Object ? [.. not.EnumerateObject().Select(p => p.Name)] : ["not"];
        if (names is ["enum"] or ["const"])
        {
            JsonElement denied = not.EnumerateObject().First().Value;
            IEnumerable<JsonElement> each =
                names is ["enum"] && denied.ValueKind == JsonValueKind.Array ? denied.EnumerateArray() : [denied];
            if (each.All(value => value.ValueKind is JsonValueKind.String or JsonValueKind.Null))
            {
                return each.Any(value => value.ValueKind == JsonValueKind.Null)
                    ? [.. (types ?? [.. AllTypes]).Where(type => type != "null")]
                    : types;
            }
        }
        if (names is ["type"])
        {
            HashSet<string> denied = Types(not, place)!;
            return
            [
                .. (types ?? [.. AllTypes]).Where(type =>
                    !denied.Contains(type) && !(type == "integer" && denied.Contains("number"))
                ),
            ];
        }
        throw Fail(place, "'not' is possible with a type, or with an enum of strings; write the schema without it");
    }

    private static List<string> DeniedStrings(List<Part> all) =>
        [
            .. all.Select(part => Find(part.Schema, "not"))
                .OfType<JsonElement>()
                .Where(not => not.ValueKind == JsonValueKind.Object)
                .SelectMany(not => not.EnumerateObject())
                .Where(property => property.Name is "enum" or "const")
                .SelectMany(property =>
                    property.Value.ValueKind == JsonValueKind.Array
                        ? property.Value.EnumerateArray()
                        : (IEnumerable<JsonElement>)[property.Value]
                )
                .Where(value => value.ValueKind == JsonValueKind.String)
                .Select(value => value.GetString()!),
        ];

    private List<JsonElement>? Values(List<Part> all, Place place)
    {
        List<JsonElement>? values = null;
        foreach (Part part in all)
        {
            if (Find(part.Schema, "const") is { } constant)
            {
                Narrow([constant]);
            }
            if (Find(part.Schema, "enum") is { } list)
            {
                if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
                {
                    throw Fail(place, "its enum is not an array of values, or is empty, so no value fits it");
                }
                Narrow([.. list.EnumerateArray()]);
            }
        }
        _cost += values?.Count ?? 0;
        if (values is { Count: 0 })
        {
            throw Fail(place, "its enums and consts have no value in common");
        }
        foreach (JsonElement value in values ?? [])
        {
            EnsureReadable(value, place);
        }
        return values;

        void Narrow(List<JsonElement> some) =>
            values = values is null
                ? some
                : [.. values.Where(value => some.Exists(other => JsonElement.DeepEquals(value, other)))];
    }

    private void EnsureReadable(JsonElement value, Place place)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Number when !(value.TryGetDouble(out double number) && double.IsFinite(number)):
                throw Fail(place, $"the number {value.GetRawText()} of its enum or const is out of range");
            case JsonValueKind.String:
                // throws for half of a surrogate pair
                _ = value.GetString();
                break;
            case JsonValueKind.Array:
                foreach (JsonElement item in value.EnumerateArray())
                {
                    EnsureReadable(item, place);
                }
                break;
            case JsonValueKind.Object:
                foreach (JsonProperty property in value.EnumerateObject())
                {
                    _ = property.Name;
                    EnsureReadable(property.Value, place);
                }
                break;
        }
    }

    private static bool IsOfType(JsonElement value, string type) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => type == "object",
            JsonValueKind.Array => type == "array",
            JsonValueKind.String => type == "string",
            JsonValueKind.Number => type is "number" or "integer",
            JsonValueKind.True or JsonValueKind.False => type == "boolean",
            _ => type == "null",
        };

    private StringNode BuildString(List<Part> all, Place place, bool isGenerated)
    {
        int min = 0;
        int? max = null;
        string? pattern = null;
        string? format = null;
        foreach (Part part in all)
        {
            min = Math.Max(min, Count(part.Schema, "minLength", place) ?? 0);
            max = Smaller(max, Count(part.Schema, "maxLength", place));
            if (Find(part.Schema, "pattern") is { } own)
            {
                string text =
                    own.ValueKind == JsonValueKind.String
                        ? own.GetString()!
                        : throw Fail(place, "its pattern is not a string");
                if (pattern is not null && pattern != text)
                {
                    throw Fail(place, $"two patterns hold at once, '{pattern}' and '{text}'; write one that says both");
                }
                pattern = text;
            }
            if (Find(part.Schema, "format") is { ValueKind: JsonValueKind.String } named)
            {
                format = StringFormats.Find(named.GetString()!) ?? format;
            }
            if (
                Find(part.Schema, "contentEncoding") is { ValueKind: JsonValueKind.String } encoding
                && encoding.ValueEquals("base64")
            )
            {
                format ??= StringFormats.Base64;
            }
        }
        EnsureOrder(min, max, "minLength", "maxLength", place);
        List<string> denied = DeniedStrings(all);
        StringNode node = new()
        {
            JsonPattern = "",
            Pattern = pattern,
            MinLength = min,
            MaxLength = max,
            Denied = denied,
        };
        return isGenerated ? node with { JsonPattern = JsonPattern(pattern, format, min, max, denied, place) } : node;
    }

    private string JsonPattern(string? pattern, string? format, int min, int? max, List<string> denied, Place place)
    {
        int least = Math.Min(min, PatternWriter.MaxRepeat);
        int? most = max > PatternWriter.MaxRepeat || min > PatternWriter.MaxRepeat ? null : max;
        if (least < min || most is null != max is null)
        {
            Loosen(place, $"lengths above {PatternWriter.MaxRepeat} are not enforced");
        }
        if (_cost + (most ?? least) > MaxCost)
        {
            Loosen(
                place,
                $"its length is not enforced, because the lengths and counts of the schema add up to more than {MaxCost}"
            );
            (least, most) = (0, null);
        }
        if (pattern is null && format is null && denied.Count == 0)
        {
            _cost += (most ?? least) + 1;
            return PatternWriter.AnyText(least, most);
        }
        try
        {
            PatternNode node =
                pattern is not null ? PatternParser.Parse(StringFormats.Narrow(pattern))
                : format is not null ? PatternParser.Parse(format)
                : DeniedPattern.Create(denied);
            if (pattern is not null && format is not null)
            {
                Loosen(place, "its format is not enforced beside its pattern");
            }
            if ((pattern ?? format) is not null && denied.Count > 0)
            {
                Loosen(place, "the values that it denies are not excluded beside its pattern or format");
            }
            if (least > 0 || most is not null)
            {
                node = WithLength(node, least, most, place);
            }
            (string text, long cost, string? loosened) = PatternWriter.Write(node);
            if (loosened is not null)
            {
                Loosen(place, loosened);
            }
            _cost += cost + 1;
            return _cost <= MaxCost
                ? text
                : throw Fail(
                    place,
                    $"with its pattern, the counts of the schema add up to more than {MaxCost}; use smaller ones"
                );
        }
        catch (PatternException e)
        {
            throw Fail(
                place,
                pattern is null ? $"its format: {e.Message}" : $"its pattern '{Shorten(pattern)}': {e.Message}"
            );
        }
    }

    /// <summary>A pattern of one repeated part takes a length on; others are left as they are.</summary>
    private PatternNode WithLength(PatternNode node, int min, int? max, Place place)
    {
        if (node is PatternRepeat { Item: PatternSet } repeat)
        {
            int least = Math.Max(min, repeat.Min);
            int? most = Smaller(max, repeat.Max);
            EnsureOrder(least, most, "minLength", "maxLength", place);
            return new PatternRepeat(repeat.Item, least, most);
        }
        if (node.Width is not { } width)
        {
            Loosen(place, "its length is not enforced beside its pattern or format");
        }
        else if (width < min || width > max)
        {
            throw Fail(
                place,
                $"its pattern or format has {width} characters, which its minLength or maxLength excludes"
            );
        }
        return node;
    }

    private static string Shorten(string text) => text.Length <= 200 ? text : $"{text[..200]}…";

    private NumberNode BuildNumber(List<Part> all, Place place, bool isInteger, bool isGenerated)
    {
        NumberBound? min = null;
        NumberBound? max = null;
        decimal? multiple = null;
        foreach (Part part in all)
        {
            // booleans, as draft 4 had them, make the plain bounds exclusive
            bool above = Find(part.Schema, "exclusiveMinimum") is { ValueKind: JsonValueKind.True };
            bool below = Find(part.Schema, "exclusiveMaximum") is { ValueKind: JsonValueKind.True };
            min = Larger(min, Bound(part.Schema, "minimum", above, -1, place));
            max = Smaller(max, Bound(part.Schema, "maximum", below, 1, place));
            min = Larger(min, Bound(part.Schema, "exclusiveMinimum", isExclusive: true, -1, place));
            max = Smaller(max, Bound(part.Schema, "exclusiveMaximum", isExclusive: true, 1, place));
            if (Number(part.Schema, "multipleOf", place) is { } factor)
            {
                multiple = factor > 0 ? factor : throw Fail(place, "its multipleOf is not above 0");
            }
            if (
                isInteger
                && Find(part.Schema, "format") is { ValueKind: JsonValueKind.String } format
                && StringFormats.FindRange(format.GetString()!) is { } range
            )
            {
                min = Larger(min, new NumberBound(range.Min, IsExclusive: false));
                max = Smaller(max, new NumberBound(range.Max, IsExclusive: false));
            }
        }
        if (isInteger)
        {
            min = min is { } a
                ? new NumberBound(a.IsExclusive ? decimal.Floor(a.Value) + 1 : decimal.Ceiling(a.Value), false)
                : null;
            max = max is { } b
                ? new NumberBound(b.IsExclusive ? decimal.Ceiling(b.Value) - 1 : decimal.Floor(b.Value), false)
                : null;
        }
        if (
            min is { } low
            && max is { } high
            && (low.Value > high.Value || (low.Value == high.Value && (low.IsExclusive || high.IsExclusive)))
        )
        {
            throw Fail(
                place,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"no {(isInteger ? "integer" : "number")} lies between its minimum and its maximum, {low.Value} and {high.Value}"
                )
            );
        }
        if (
            isInteger
            && isGenerated
            && (min?.Value > SchemaWriter.LargestBound || max?.Value < -SchemaWriter.LargestBound)
        )
        {
            throw Fail(place, "its bounds leave only integers that do not fit into 64 bits");
        }
        if (isGenerated && multiple is not null and not 1m)
        {
            Loosen(place, "its multipleOf is not enforced");
        }
        if (isGenerated && !isInteger && (min is not null || max is not null))
        {
            Loosen(place, "the bounds of a number that is not an integer are not enforced");
        }
        return new NumberNode
        {
            IsInteger = isInteger || multiple == 1,
            Min = min,
            Max = max,
            MultipleOf = multiple,
        };
    }

    private static NumberBound? Larger(NumberBound? a, NumberBound? b) =>
        a is null ? b
        : b is null || a.Value.Value > b.Value.Value || (a.Value.Value == b.Value.Value && a.Value.IsExclusive) ? a
        : b;

    private static NumberBound? Smaller(NumberBound? a, NumberBound? b) =>
        a is null ? b
        : b is null || a.Value.Value < b.Value.Value || (a.Value.Value == b.Value.Value && a.Value.IsExclusive) ? a
        : b;

    private static int? Smaller(int? a, int? b) =>
        a is null ? b
        : b is null ? a
        : Math.Min(a.Value, b.Value);

    private NumberBound? Bound(JsonElement schema, string keyword, bool isExclusive, int outwards, Place place)
    {
        if (Find(schema, keyword) is not { } value || value.ValueKind is JsonValueKind.True or JsonValueKind.False)
        {
            return null;
        }
        if (ToDecimal(value) is { } number && Math.Abs(number) <= LargestBound)
        {
            return new NumberBound(number, isExclusive);
        }
        // of dates, for example, which .NET writes for [Range(typeof(DateTime), …)]
        if (!IsNumber(value, out double large))
        {
            Loosen(place, $"its {keyword} {value.GetRawText()} is not a number and is not enforced");
            return null;
        }
        // beyond what a decimal holds it excludes nothing, or everything
        return Math.Sign(large) == outwards || large == 0
            ? null
            : throw Fail(place, $"its {keyword} {value.GetRawText()} is out of range");
    }

    private decimal? Number(JsonElement schema, string keyword, Place place)
    {
        if (Find(schema, keyword) is not { } value)
        {
            return null;
        }
        return ToDecimal(value)
            ?? throw Fail(place, $"its {keyword} {value.GetRawText()} is not a number, or out of range");
    }

    // .NET writes the bounds of [Range(typeof(long), "1", "5")] as strings
    private static decimal? ToDecimal(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Number when value.TryGetDecimal(out decimal number) => number,
            JsonValueKind.String
                when decimal.TryParse(
                    value.GetString(),
                    NumberStyles.Float,
                    CultureInfo.InvariantCulture,
                    out decimal number
                ) => number,
            _ => null,
        };

    private static bool IsNumber(JsonElement value, out double number)
    {
        number = 0;
        return value.ValueKind switch
        {
            JsonValueKind.Number => value.TryGetDouble(out number),
            JsonValueKind.String => double.TryParse(
                value.GetString(),
                NumberStyles.Float,
                CultureInfo.InvariantCulture,
                out number
            ),
            _ => false,
        };
    }

    private int? Count(JsonElement schema, string keyword, Place place)
    {
        if (Find(schema, keyword) is null)
        {
            return null;
        }
        decimal count = Number(schema, keyword, place)!.Value;
        return count >= 0 && count == decimal.Truncate(count)
            ? (int)Math.Min(count, int.MaxValue)
            : throw Fail(place, $"its {keyword} is not a whole number from 0 on");
    }

    private void EnsureOrder(int min, int? max, string minName, string maxName, Place place)
    {
        if (min > max)
        {
            throw Fail(
                place,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"its {minName} {min} is above its {maxName} {max}, so no value fits it"
                )
            );
        }
    }

    private ArrayNode? BuildArray(List<Part> all, Place place)
    {
        int min = 0;
        int? max = null;
        bool unique = false;
        int firstCount = 0;
        foreach (Part part in all)
        {
            min = Math.Max(min, Count(part.Schema, "minItems", place) ?? 0);
            max = Smaller(max, Count(part.Schema, "maxItems", place));
            unique |= Find(part.Schema, "uniqueItems") is { ValueKind: JsonValueKind.True };
            firstCount = Math.Max(firstCount, First(part.Schema)?.GetArrayLength() ?? 0);
        }
        EnsureOrder(min, max, "minItems", "maxItems", place);
        _level++;
        List<SchemaNode> first = [];
        for (int i = 0; i < firstCount && !(i >= max); i++)
        {
            if (Build([.. all.Select(part => ItemPart(part, i)).OfType<Part>()], place.Item()) is not { } item)
            {
                max = i;
                break;
            }
            first.Add(item);
        }
        SchemaNode? rest =
            max <= firstCount
                ? null
                : Build([.. all.Select(part => ItemPart(part, firstCount)).OfType<Part>()], place.Item());
        _level--;
        if (rest is null)
        {
            max = Smaller(max, first.Count);
        }
        if (min > max)
        {
            throw Fail(place, "it has to have an item that no value fits");
        }
        if (unique)
        {
            Loosen(place, "its uniqueItems is not enforced");
        }
        int least = Math.Min(min, MaxItems);
        int? most = max > MaxItems || min > MaxItems ? null : max;
        if (least < min || most is null != max is null)
        {
            Loosen(place, $"counts of items above {MaxItems} are not enforced");
        }
        else if (first.Count == 0 && _cost + (most ?? least) > MaxCost)
        {
            Loosen(
                place,
                $"its count of items is not enforced, because the lengths and counts of the schema add up to more than {MaxCost}"
            );
        }
        _cost += (most ?? least) + 1;
        return new ArrayNode
        {
            First = first,
            Item = rest,
            MinItems = min,
            MaxItems = max,
            AreUnique = unique,
            IsCounted = _cost <= MaxCost,
        };
    }

    // items as an array is how earlier drafts wrote prefixItems
    private static JsonElement? First(JsonElement schema) =>
        Find(schema, "prefixItems") is { ValueKind: JsonValueKind.Array } prefix ? prefix
        : Find(schema, "items") is { ValueKind: JsonValueKind.Array } items ? items
        : null;

    private static Part? ItemPart(Part part, int index)
    {
        if (First(part.Schema) is { } first && index < first.GetArrayLength())
        {
            string keyword = Find(part.Schema, "prefixItems") is { ValueKind: JsonValueKind.Array }
                ? "prefixItems"
                : "items";
            return new Part(first[index], $"{part.Pointer}/{keyword}/{index}", IsReferred: false);
        }
        string name = Find(part.Schema, "items") is { ValueKind: JsonValueKind.Array } ? "additionalItems" : "items";
        return Find(part.Schema, name) is { } rest ? new Part(rest, $"{part.Pointer}/{name}", IsReferred: false) : null;
    }

    private ObjectNode? BuildObject(List<Part> all, Place place)
    {
        List<string> names = [];
        HashSet<string> known = [];
        HashSet<string> required = [];
        bool isClosed = false;
        bool saysProperties = false;
        bool saysAdditional = false;
        int min = 0;
        int? max = null;
        foreach (Part part in all)
        {
            if (Find(part.Schema, "properties") is { } properties)
            {
                if (properties.ValueKind != JsonValueKind.Object)
                {
                    throw Fail(place, "its properties are not an object");
                }
                saysProperties = true;
                foreach (JsonProperty property in properties.EnumerateObject())
                {
                    if (known.Add(property.Name))
                    {
                        names.Add(property.Name);
                    }
                }
            }
            // draft 3 and some writers have required: true at the property, which says nothing about this object
            if (Find(part.Schema, "required") is { ValueKind: JsonValueKind.Array } list)
            {
                foreach (JsonElement name in list.EnumerateArray())
                {
                    required.Add(
                        name.ValueKind == JsonValueKind.String
                            ? name.GetString()!
                            : throw Fail(
                                place,
                                $"its required names {name.GetRawText()}, which is not a property's name"
                            )
                    );
                }
            }
            if (Find(part.Schema, "additionalProperties") is { } additional)
            {
                saysAdditional = true;
                isClosed |= additional.ValueKind == JsonValueKind.False;
            }
            min = Math.Max(min, Count(part.Schema, "minProperties", place) ?? 0);
            max = Smaller(max, Count(part.Schema, "maxProperties", place));
        }
        EnsureOrder(min, max, "minProperties", "maxProperties", place);
        foreach (string name in required)
        {
            if (known.Add(name))
            {
                names.Add(name);
            }
        }
        _level++;
        List<PropertyNode> nodes = [];
        foreach (string name in names)
        {
            // llama.cpp names the rules of the grammar after the properties
            if (name.Length is 0 or > MaxNameLength)
            {
                throw Fail(place, $"a property's name has {name.Length} characters; 1 to {MaxNameLength} are possible");
            }
            if (
                Build([.. all.Select(part => PropertyPart(part, name)).OfType<Part>()], place.Property(name)) is
                { } schema
            )
            {
                nodes.Add(new PropertyNode(name, schema, required.Contains(name)));
            }
            else if (required.Contains(name))
            {
                throw Fail(place.Property(name), "it is required, but no value fits it");
            }
        }
        SchemaNode? rest = null;
        if (!isClosed && (saysAdditional || !saysProperties))
        {
            rest = Build([.. all.Select(part => AdditionalPart(part)).OfType<Part>()], place.Any());
        }
        _level--;
        if (nodes.Count(property => !property.IsRequired) > MaxOptionalProperties)
        {
            throw Fail(
                place,
                $"more than {MaxOptionalProperties} of its properties are optional; require those that every answer has"
            );
        }
        if (min > nodes.Count(property => property.IsRequired) || max < nodes.Count)
        {
            Loosen(place, "its minProperties and maxProperties are not enforced");
        }
        if (max < required.Count || (rest is null && isClosed && min > nodes.Count))
        {
            throw Fail(place, "its minProperties or maxProperties contradict its properties");
        }
        return new ObjectNode
        {
            Properties = nodes,
            // llama.cpp's rule for other names takes them apart by their characters
            Additional = nodes.TrueForAll(property => HasPlainName(property.Name)) ? rest : null,
            IsClosed = isClosed,
            MinProperties = min,
            MaxProperties = max,
        };
    }

    private static bool HasPlainName(string name) => name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '$');

    private static Part? PropertyPart(Part part, string name)
    {
        if (
            Find(part.Schema, "properties") is { } properties
            && properties.TryGetProperty(name, out JsonElement schema)
        )
        {
            string step = name.Replace("~", "~0", StringComparison.Ordinal)
                .Replace("/", "~1", StringComparison.Ordinal);
            return new Part(schema, $"{part.Pointer}/properties/{step}", IsReferred: false);
        }
        return AdditionalPart(part);
    }

    private static Part? AdditionalPart(Part part) =>
        Find(part.Schema, "additionalProperties") is { } additional
            ? new Part(additional, $"{part.Pointer}/additionalProperties", IsReferred: false)
            : null;

    private JsonElement.ArrayEnumerator Schemas(JsonElement list, string keyword, Place place) =>
        list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray()
            : throw Fail(place, $"its {keyword} is not an array of schemas");

    private static JsonElement? Find(JsonElement schema, string keyword) =>
        schema.ValueKind == JsonValueKind.Object && schema.TryGetProperty(keyword, out JsonElement value)
            ? value
            : null;

    /// <summary>
    /// Takes out what no value of finite size fits, which an answer could never complete; refused where nothing else is left.
    /// </summary>
    private SchemaNode WithoutEndless(SchemaNode root)
    {
        // values in the smallest value of each definition
        Dictionary<SchemaDefinition, double> sizes = [];
        for (bool changed = true; changed; )
        {
            changed = false;
            foreach (SchemaDefinition definition in _definitions.Values)
            {
                double size = Smallest(definition.Schema!);
                if (size < sizes.GetValueOrDefault(definition, double.PositiveInfinity))
                {
                    sizes[definition] = size;
                    changed = true;
                }
            }
        }
        if (!Ends(root))
        {
            throw Fail(
                Place.Root,
                "a value would have to hold itself; make the property that leads back optional or nullable"
            );
        }
        if (Smallest(root) > MaxSmallest)
        {
            throw Fail(
                Place.Root,
                $"its smallest value holds more than {MaxSmallest} values; {MaxSmallest} are possible"
            );
        }
        foreach ((string key, SchemaDefinition definition) in _definitions.ToArray())
        {
            if (sizes.ContainsKey(definition))
            {
                definition.Schema = Prune(definition.Schema!);
            }
            else
            {
                _definitions.Remove(key);
            }
        }
        return Prune(root);

        bool Ends(SchemaNode node) => double.IsFinite(Smallest(node));

        double Smallest(SchemaNode node) =>
            node switch
            {
                ReferenceNode reference => sizes.GetValueOrDefault(reference.Target, double.PositiveInfinity),
                UnionNode union => union.Alternatives.Select(Smallest).DefaultIfEmpty(double.PositiveInfinity).Min(),
                ArrayNode array => 1
                    + array.First.Sum(Smallest)
                    + (
                        array.MinItems <= array.First.Count ? 0
                        : array.Item is { } item ? (array.MinItems - array.First.Count) * Smallest(item)
                        : double.PositiveInfinity
                    ),
                ObjectNode properties => 1
                    + properties
                        .Properties.Where(property => property.IsRequired)
                        .Sum(property => Smallest(property.Schema)),
                _ => 1,
            };

        SchemaNode Prune(SchemaNode node) =>
            node switch
            {
                UnionNode union => new UnionNode([.. union.Alternatives.Where(Ends).Select(Prune)]),
                ArrayNode array => array with
                {
                    First = [.. array.First.Select(Prune)],
                    Item = array.Item is { } item && Ends(item) ? Prune(item) : null,
                },
                ObjectNode properties => properties with
                {
                    Properties =
                    [
                        .. properties
                            .Properties.Where(property => Ends(property.Schema))
                            .Select(property => property with { Schema = Prune(property.Schema) }),
                    ],
                    Additional = properties.Additional is { } rest && Ends(rest) ? Prune(rest) : null,
                },
                _ => node,
            };
    }
}
