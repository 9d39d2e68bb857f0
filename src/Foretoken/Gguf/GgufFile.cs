using System.Diagnostics.CodeAnalysis;

namespace Foretoken.Gguf;

/// <summary>The header of a GGUF file: its metadata and the list of its tensors. Immutable and thread-safe.</summary>
/// <remarks>
/// Read with <see cref="GgufReader"/>. Format: the GGUF specification, version 2 and 3, little-endian, with the further
/// limits of llama.cpp (no arrays of arrays, tensors back to back in the order of the header).
/// </remarks>
internal sealed class GgufFile
{
    private readonly Dictionary<string, GgufValue> _values;
    private readonly KeyValuePair<string, GgufValue>[] _entries;
    private readonly GgufTensor[] _tensors;

    internal GgufFile(
        int version,
        int alignment,
        KeyValuePair<string, GgufValue>[] entries,
        GgufTensor[] tensors,
        long dataOffset,
        long fileLength
    )
    {
        Version = version;
        Alignment = alignment;
        _entries = entries;
        _values = new Dictionary<string, GgufValue>(entries, StringComparer.Ordinal);
        _tensors = tensors;
        DataOffset = dataOffset;
        FileLength = fileLength;
    }

    /// <summary>Format version: 2 or 3.</summary>
    public int Version { get; }

    /// <summary>Bytes to whose multiples the data section and every tensor are padded; a power of two.</summary>
    public int Alignment { get; }

    /// <summary>The metadata in the order of the file.</summary>
    public IReadOnlyList<KeyValuePair<string, GgufValue>> Metadata => _entries;

    /// <summary>The tensors in the order of the file.</summary>
    public IReadOnlyList<GgufTensor> Tensors => _tensors;

    /// <summary>Bytes from the beginning of the file to its data section.</summary>
    public long DataOffset { get; }

    /// <summary>Bytes that the file really has.</summary>
    public long FileLength { get; }

    /// <summary>Bytes that the file needs for the tensors that its header lists; padding at the end not counted.</summary>
    public long RequiredLength =>
        _tensors.Length == 0
            ? Math.Min(DataOffset, FileLength)
            : DataOffset + _tensors[^1].Offset + _tensors[^1].ByteLength;

    /// <summary>Whether tensor data is missing at the end, as after an interrupted download.</summary>
    public bool IsTruncated => FileLength < RequiredLength;

    /// <summary>Looks up a metadata value.</summary>
    /// <param name="key">Key, for example <c>general.architecture</c>.</param>
    /// <param name="value">The value when the result is <see langword="true"/>.</param>
    /// <returns>Whether the key is present.</returns>
    public bool TryGetValue(string key, [NotNullWhen(true)] out GgufValue? value) =>
        _values.TryGetValue(key, out value);

    /// <summary>Text of a key, or <see langword="null"/> where it is absent or not text.</summary>
    /// <param name="key">Key, for example <c>general.name</c>.</param>
    public string? GetString(string key) =>
        TryGetValue(key, out GgufValue? value) && value.TryGetString(out string? text) ? text : null;

    /// <summary>Integer of a key, or <see langword="null"/> where it is absent or not an integer.</summary>
    /// <param name="key">Key, for example <c>llama.block_count</c>.</param>
    public long? GetInt64(string key) =>
        TryGetValue(key, out GgufValue? value) && value.TryGetInt64(out long integer) ? integer : null;

    /// <summary>Number of a key, or <see langword="null"/> where it is absent or not a number.</summary>
    /// <param name="key">Key, for example <c>llama.rope.freq_base</c>.</param>
    public double? GetDouble(string key) =>
        TryGetValue(key, out GgufValue? value) && value.TryGetDouble(out double number) ? number : null;
}
