using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Foretoken.Gguf;

namespace Foretoken.Tuning.Models;

/// <summary>Writes GGUF files (version 3, little-endian): first what they hold is declared, then the data is streamed.</summary>
/// <remarks>Not thread-safe. A writer can write the same content several times.</remarks>
internal sealed class GgufWriter
{
    private const int Version = 3;

    private readonly List<KeyValuePair<string, GgufValue>> _entries = [];
    private readonly Dictionary<string, int> _entryIndex = new(StringComparer.Ordinal);
    private readonly List<GgufTensor> _tensors = [];
    private readonly HashSet<string> _tensorNames = new(StringComparer.Ordinal);
    private long _dataLength;

    /// <summary>Creates a writer.</summary>
    /// <param name="alignment">
    /// Bytes to whose multiples tensors are padded; a power of two, at least 8. Any other than the default 32 is also
    /// written as <c>general.alignment</c>.
    /// </param>
    public GgufWriter(int alignment = GgufReader.DefaultAlignment)
    {
        if (alignment < 8 || !int.IsPow2(alignment))
        {
            throw new ArgumentOutOfRangeException(
                nameof(alignment),
                alignment,
                "A power of two of at least 8 is needed."
            );
        }

        Alignment = alignment;
        if (alignment != GgufReader.DefaultAlignment)
        {
            Set(GgufReader.AlignmentKey, GgufValue.From((uint)alignment));
        }
    }

    /// <summary>Bytes to whose multiples the data section and every tensor are padded.</summary>
    public int Alignment { get; }

    /// <summary>The tensors declared so far.</summary>
    public IReadOnlyList<GgufTensor> Tensors => _tensors;

    /// <summary>Bytes of the header as declared so far, with the padding before the data section.</summary>
    public long HeaderLength
    {
        get
        {
            long length = 4 + 4 + 8 + 8;
            foreach ((string key, GgufValue value) in _entries)
            {
                length += 8 + Encoding.UTF8.GetByteCount(key) + 4 + (value.IsArray ? 4 + 8 : 0) + value.Bytes.Length;
            }

            foreach (GgufTensor tensor in _tensors)
            {
                length += 8 + Encoding.UTF8.GetByteCount(tensor.Name) + 4 + (8 * tensor.Shape.Count) + 4 + 8;
            }

            return GgufReader.Align(length, Alignment);
        }
    }

    /// <summary>Bytes of the whole file as declared so far.</summary>
    public long FileLength => HeaderLength + _dataLength;

    /// <summary>Sets a metadata value; an existing value of the key is replaced in its place.</summary>
    /// <param name="key">Key, for example <c>general.architecture</c>.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="ArgumentException">The key is empty, too long, or the alignment, which is fixed.</exception>
    public void Set(string key, GgufValue value)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        ArgumentNullException.ThrowIfNull(value);
        if (Encoding.UTF8.GetByteCount(key) > ushort.MaxValue)
        {
            throw new ArgumentException($"A key has at most {ushort.MaxValue} bytes.", nameof(key));
        }

        if (key == GgufReader.AlignmentKey && !(value.TryGetInt64(out long alignment) && alignment == Alignment))
        {
            throw new ArgumentException($"The alignment is {Alignment}, as given to the constructor.", nameof(value));
        }

        if (_entryIndex.TryGetValue(key, out int index))
        {
            _entries[index] = new(key, value);
            return;
        }

        _entryIndex.Add(key, _entries.Count);
        _entries.Add(new(key, value));
    }

    /// <summary>Declares a tensor. Tensors are laid out in the order of declaration.</summary>
    /// <param name="name">Unique name, at most 63 bytes in UTF-8.</param>
    /// <param name="type">Element type.</param>
    /// <param name="shape">1 to 4 dimensions, the row length first.</param>
    /// <returns>The tensor with its place in the data section.</returns>
    /// <exception cref="ArgumentException">Name or shape cannot be written.</exception>
    public GgufTensor AddTensor(string name, GgufTensorType type, params ReadOnlySpan<long> shape)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (Encoding.UTF8.GetByteCount(name) > GgufTensor.MaxNameBytes)
        {
            throw new ArgumentException($"'{name}' is longer than {GgufTensor.MaxNameBytes} bytes.", nameof(name));
        }

        if (shape.IsEmpty)
        {
            throw new ArgumentException($"Tensor '{name}' needs at least one dimension.", nameof(shape));
        }

        if (!GgufTensor.TryGetByteLength(type, shape, out long byteLength, out string? problem))
        {
            throw new ArgumentException($"Tensor '{name}' {problem}.", nameof(shape));
        }

        if (!_tensorNames.Add(name))
        {
            throw new ArgumentException($"A tensor named '{name}' is already declared.", nameof(name));
        }

        GgufTensor tensor = new(name, type, shape.ToArray(), _dataLength, byteLength);
        _tensors.Add(tensor);
        _dataLength = checked(_dataLength + GgufReader.Align(byteLength, Alignment));
        return tensor;
    }

    /// <summary>Writes header and data.</summary>
    /// <param name="output">Where to write; left open.</param>
    /// <param name="writeTensor">
    /// Writes the data of one tensor: exactly <see cref="GgufTensor.ByteLength"/> bytes, in the order of declaration.
    /// </param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <exception cref="InvalidOperationException"><paramref name="writeTensor"/> wrote too few or too many bytes.</exception>
    public void Write(
        Stream output,
        Action<GgufTensor, Stream> writeTensor,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(writeTensor);
        WriteHeader(output);
        using TensorStream data = new(output);
        foreach (GgufTensor tensor in _tensors)
        {
            cancellationToken.ThrowIfCancellationRequested();
            data.Begin(tensor);
            writeTensor(tensor, data);
            data.End();
            WritePadding(output, GgufReader.Align(tensor.ByteLength, Alignment) - tensor.ByteLength);
        }
    }

    /// <summary>Writes a file. It appears under its name only when it is complete.</summary>
    /// <param name="path">Path of the file; an existing file is replaced.</param>
    /// <param name="writeTensor">As in <see cref="Write"/>.</param>
    /// <param name="cancellationToken">Checked before every tensor.</param>
    /// <exception cref="InvalidOperationException"><paramref name="writeTensor"/> wrote too few or too many bytes.</exception>
    /// <exception cref="IOException">The file could not be written.</exception>
    public void WriteFile(
        string path,
        Action<GgufTensor, Stream> writeTensor,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string partial = path + ".partial";
        try
        {
            using (FileStream stream = new(partial, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            {
                Write(stream, writeTensor, cancellationToken);
            }

            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    private void WriteHeader(Stream output)
    {
        Span<byte> small = stackalloc byte[8];
        long written = 0;

        void Number64(Span<byte> buffer, ulong value)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(buffer, value);
            output.Write(buffer[..8]);
            written += 8;
        }

        void Number32(Span<byte> buffer, uint value)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(buffer, value);
            output.Write(buffer[..4]);
            written += 4;
        }

        void Text(Span<byte> buffer, string value)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(value);
            Number64(buffer, (ulong)bytes.Length);
            output.Write(bytes);
            written += bytes.Length;
        }

        Number32(small, GgufReader.Magic);
        Number32(small, Version);
        Number64(small, (ulong)_tensors.Count);
        Number64(small, (ulong)_entries.Count);
        foreach ((string key, GgufValue value) in _entries)
        {
            Text(small, key);
            Number32(small, (uint)value.Type);
            if (value.IsArray)
            {
                Number32(small, (uint)value.ElementType);
                Number64(small, (ulong)value.Count);
            }

            output.Write(value.Bytes);
            written += value.Bytes.Length;
        }

        foreach (GgufTensor tensor in _tensors)
        {
            Text(small, tensor.Name);
            Number32(small, (uint)tensor.Shape.Count);
            foreach (long n in tensor.Shape)
            {
                Number64(small, (ulong)n);
            }

            Number32(small, (uint)tensor.Type);
            Number64(small, (ulong)tensor.Offset);
        }

        WritePadding(output, GgufReader.Align(written, Alignment) - written);
    }

    private static void WritePadding(Stream output, long count)
    {
        for (long i = 0; i < count; i++)
        {
            output.WriteByte(0);
        }
    }

    // counts what a tensor's source writes, so that a wrong length is an error and not a corrupt file
    private sealed class TensorStream(Stream inner) : Stream
    {
        private GgufTensor? _tensor;
        private long _left;

        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public void Begin(GgufTensor tensor)
        {
            _tensor = tensor;
            _left = tensor.ByteLength;
        }

        public void End()
        {
            if (_left > 0)
            {
                throw Wrong(_tensor!.ByteLength - _left);
            }
        }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (buffer.Length > _left)
            {
                throw Wrong(_tensor!.ByteLength - _left + buffer.Length);
            }

            inner.Write(buffer);
            _left -= buffer.Length;
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        private InvalidOperationException Wrong(long bytes) =>
            new(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Tensor '{_tensor!.Name}' has {_tensor.ByteLength} bytes; its source wrote {bytes}."
                )
            );
    }
}
