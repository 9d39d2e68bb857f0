using System.Security.Cryptography;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Interop;

namespace Foretoken.Sessions;

/// <summary>
/// A LoRA adapter (arXiv 2106.09685) of a model, loaded from a GGUF file: what it learned is added to the model's weights in
/// the sessions that ask for it, and the weights themselves stay as they are.
/// </summary>
/// <remarks>
/// Made by <see cref="ForetokenModel.LoadAdapter"/>. Thread-safe. Disposing it is safe at any moment: its memory is freed once
/// the last session that has computed with it is disposed too, and no session of the model computes.
/// </remarks>
public sealed class LoraAdapter : IDisposable
{
    private const string ConvertAgain =
        "Give an adapter of this model, converted to GGUF with llama.cpp's convert_lora_to_gguf.py.";

    private int _disposed;

    internal LoraAdapter(ForetokenModel model, string path, string? name)
    {
        Path = path;
        Name = name ?? System.IO.Path.GetFileNameWithoutExtension(path);
        Model = model;
        Check(path, model.Info.Architecture);
        Fingerprint = ComputeFingerprint(path);
        SafeModelHandle owner = model.Handle;
        (int status, SafeAdapterHandle handle) = owner.Gate.Change(() =>
        {
            int status = NativeMethods.ftk_adapter_load(
                owner,
                System.IO.Path.GetFullPath(path),
                out SafeAdapterHandle handle
            );
            if (status == 0)
            {
                handle.BelongTo(owner);
            }
            return (status, handle);
        });
        if (status != 0)
        {
            string message = NativeCall.LastError();
            handle.Dispose();
            throw status == (int)NativeStatus.BadModel
                ? new LoraAdapterException($"{message}. {ConvertAgain}")
                : NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        Handle = handle;
    }

    /// <summary>The file that it was loaded from.</summary>
    public string Path { get; }

    /// <summary>Its name in reports; the file's name unless another one was given.</summary>
    public string Name { get; }

    internal ForetokenModel Model { get; }

    internal SafeAdapterHandle Handle { get; }

    /// <summary>SHA-256 of the file, 32 bytes: saved states know their adapters by it.</summary>
    internal byte[] Fingerprint { get; }

    // the handle itself stays open as long as a session holds on to it
    internal bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Handle.Dispose();
        }
    }

    /// <summary>What native code would not say clearly, or not survive.</summary>
    /// <summary>The adapters that change something, in an order that does not depend on the caller's.</summary>
    /// <exception cref="ArgumentException">One is of another model, or named twice, or its scale is not a finite number.</exception>
    /// <exception cref="ObjectDisposedException">One is disposed.</exception>
    internal static ScaledAdapter[] Effective(IReadOnlyList<ScaledAdapter> adapters, ForetokenModel model)
    {
        if (adapters.Count == 0)
        {
            return [];
        }
        foreach ((LoraAdapter adapter, float scale) in adapters)
        {
            ArgumentNullException.ThrowIfNull(adapter);
            ObjectDisposedException.ThrowIf(adapter.IsDisposed, adapter);
            if (adapter.Model != model)
            {
                throw new ArgumentException(
                    $"The LoRA adapter '{adapter.Name}' was loaded for another model; load it with this session's model."
                );
            }
            if (!float.IsFinite(scale))
            {
                throw new ArgumentException($"The scale of the LoRA adapter '{adapter.Name}' is not a finite number.");
            }
        }
        if (adapters.DistinctBy(adapter => adapter.Adapter).Count() < adapters.Count)
        {
            throw new ArgumentException("A LoRA adapter is named twice; name it once, with one scale.");
        }
        return
        [
            .. adapters
                .Where(adapter => adapter.Scale != 0)
                .OrderBy(adapter => Convert.ToHexString(adapter.Adapter.Fingerprint), StringComparer.Ordinal),
        ];
    }

    private static void Check(string path, string architecture)
    {
        GgufFile file;
        try
        {
            file = GgufReader.Read(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or GgufFormatException)
        {
            throw new LoraAdapterException($"The LoRA adapter '{path}' could not be read: {e.Message}", e);
        }
        if (file.IsTruncated)
        {
            throw new LoraAdapterException(
                $"The LoRA adapter '{path}' is cut short: it has {file.FileLength} of {file.RequiredLength} bytes. Download or copy it again."
            );
        }
        if (file.GetString("general.type") != "adapter" || file.GetString("adapter.type") != "lora")
        {
            throw new LoraAdapterException($"'{path}' is GGUF, but not a LoRA adapter. {ConvertAgain}");
        }
        if (file.GetString("general.architecture") is var of && of != architecture)
        {
            throw new LoraAdapterException(
                $"The LoRA adapter '{path}' is for the architecture '{of}', and this model has '{architecture}'. {ConvertAgain}"
            );
        }
        if (
            file.TryGetValue("adapter.lora.alpha", out GgufValue? alpha)
            && (alpha.Type != GgufValueType.Float32 || alpha.IsArray)
        )
        {
            throw new LoraAdapterException(
                $"The LoRA adapter '{path}' is damaged: 'adapter.lora.alpha' is not a 32-bit float. {ConvertAgain}"
            );
        }
        if (file.Tensors.Count == 0)
        {
            throw new LoraAdapterException($"The LoRA adapter '{path}' is empty: it has no tensors. {ConvertAgain}");
        }
    }

    private static byte[] ComputeFingerprint(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            return SHA256.HashData(stream);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LoraAdapterException($"The LoRA adapter '{path}' could not be read: {e.Message}", e);
        }
    }
}
