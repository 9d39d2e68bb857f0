using System.Buffers;
using System.Text;
using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Interop;
using Foretoken.Schemas;

namespace Foretoken.Sessions;

/// <summary>Chooses tokens from the logits of a session, with llama.cpp's samplers.</summary>
/// <remarks>
/// Not thread-safe. It remembers the tokens it chose, for the penalties and the grammar: use one sampler per generated answer.
/// </remarks>
public sealed class Sampler : IDisposable
{
    internal Sampler(ForetokenModel model, SamplerOptions options)
    {
        int status = NativeMethods.ftk_sampler_create(
            model.Handle,
            NativeConfig.Sampler(options),
            out SafeSamplerHandle handle
        );
        if (status != 0)
        {
            string message = NativeCall.LastError();
            handle.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        handle.KeepAlive(model.Handle);
        Handle = handle;
    }

    internal SafeSamplerHandle Handle { get; }

    /// <summary>Tells the sampler about a token that it did not choose, for the penalties.</summary>
    /// <param name="token">A token of the prompt, or one that was forced.</param>
    /// <param name="applyGrammar">Whether the grammar advances too.</param>
    /// <exception cref="ObjectDisposedException">The sampler is disposed.</exception>
    public void Accept(int token, bool applyGrammar = false) =>
        NativeCall.Check(NativeMethods.ftk_sampler_accept(Handle, token, applyGrammar ? 1 : 0));

    /// <summary>The GBNF grammar that texts of a schema follow.</summary>
    /// <exception cref="GrammarException">llama.cpp does not take the schema.</exception>
    internal static unsafe string ToGrammar(NormalizedSchema schema)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            schema.WriteTo(json);
        }
        string text = Encoding.UTF8.GetString(buffer.WrittenSpan);
        return NativeCall.ReadText(
            (byte* grammar, long capacity, out long needed) =>
                NativeMethods.ftk_json_schema_to_grammar(text, grammar, capacity, out needed)
        );
    }

    /// <inheritdoc/>
    public void Dispose() => Handle.Dispose();
}
