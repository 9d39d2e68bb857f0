using System.Buffers;
using System.Text;
using System.Text.Json;
using Foretoken.Interop;
using Foretoken.Schemas;

namespace Foretoken.Tests.Schemas;

/// <summary>The grammar that llama.cpp makes of a schema once it is normalised.</summary>
internal static class NativeGrammar
{
    public static string Of(NormalizedSchema schema)
    {
        NativeLoader.EnsureLoaded();
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            schema.WriteTo(json);
        }
        return Convert(Encoding.UTF8.GetString(buffer.WrittenSpan));
    }

    private static unsafe string Convert(string schema) =>
        NativeCall.ReadText(
            (byte* text, long capacity, out long needed) =>
                NativeMethods.ftk_json_schema_to_grammar(schema, text, capacity, out needed)
        );
}
