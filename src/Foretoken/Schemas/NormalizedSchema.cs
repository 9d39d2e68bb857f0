using System.Text.Json;
using Foretoken.Errors;

namespace Foretoken.Schemas;

/// <summary>A schema that the native conversion to a grammar understands, and that answers are checked against.</summary>
internal sealed class NormalizedSchema(
    string subject,
    SchemaNode root,
    IReadOnlyList<SchemaDefinition> definitions,
    IReadOnlyList<string> loosened
)
{
    /// <summary>What the schema belongs to, for messages.</summary>
    internal string Subject { get; } = subject;

    internal SchemaNode Root { get; } = root;

    internal IReadOnlyList<SchemaDefinition> Definitions { get; } = definitions;

    /// <summary>What the grammar allows although the schema does not, in words.</summary>
    internal IReadOnlyList<string> Loosened { get; } = loosened;

    /// <summary>Normalises a schema that is JSON text.</summary>
    /// <exception cref="GrammarException">It is not JSON, or cannot be honoured.</exception>
    internal static NormalizedSchema Parse(string schema, string subject)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                schema,
                new JsonDocumentOptions { MaxDepth = SchemaNormalizer.MaxDepth }
            );
            return SchemaNormalizer.Normalize(document.RootElement.Clone(), subject, "s");
        }
        catch (JsonException e)
        {
            throw new GrammarException($"The JSON schema of {subject} is not JSON: {e.Message}", e);
        }
    }

    /// <summary>Why a value does not fit the schema; null when it does.</summary>
    internal string? FindFault(JsonElement value) => SchemaValidator.FindFault(value, Root);

    /// <summary>Writes the schema for the native library.</summary>
    internal void WriteTo(Utf8JsonWriter json) => SchemaWriter.Write(json, this);
}
