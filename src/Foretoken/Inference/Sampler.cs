using Foretoken.Interop;

namespace Foretoken.Inference;

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

    /// <inheritdoc/>
    public void Dispose() => Handle.Dispose();
}
