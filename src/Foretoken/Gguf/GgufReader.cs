using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Foretoken.Errors;

namespace Foretoken.Gguf;

/// <summary>Reads and checks the header of GGUF files.</summary>
/// <remarks>
/// Strict: whatever llama.cpp would reject, and a few things over which it would abort the process, is a
/// <see cref="GgufFormatException"/> here. Bounded: nothing is allocated on the word of a count before the bytes that
/// the count claims are known to be in the file. Tensor data is not read. Thread-safe.
/// </remarks>
internal static class GgufReader
{
    /// <summary>Most bytes of metadata that a header may have: 512 MiB. The largest vocabularies need about 20 MiB.</summary>
    public const int MaxMetadataBytes = 512 * 1024 * 1024;

    internal const string AlignmentKey = "general.alignment";
    internal const int DefaultAlignment = 32;
    internal const uint Magic = 0x46554747; // "GGUF", little-endian

    // 65,535 by the specification
    private const int MaxKeyBytes = ushort.MaxValue;

    // smallest encodings: key length + 1 byte + type + 1 byte; name length + dimensions + type + offset
    private const int MinEntryBytes = 8 + 1 + 4 + 1;
    private const int MinTensorBytes = 8 + 4 + 4 + 8;

    /// <summary>Reads the header of a file.</summary>
    /// <param name="path">Path of the file.</param>
    /// <exception cref="GgufFormatException">The file is not a well-formed GGUF file.</exception>
    /// <exception cref="IOException">The file could not be read.</exception>
    public static GgufFile Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16);
        return Read(stream);
    }

    /// <summary>Reads a header from a stream.</summary>
    /// <param name="stream">A seekable stream at the beginning of the file; left open, position undefined.</param>
    /// <exception cref="GgufFormatException">The stream does not hold a well-formed GGUF file.</exception>
    /// <exception cref="IOException">The stream could not be read.</exception>
    public static GgufFile Read(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (!stream.CanSeek)
        {
            throw new ArgumentException("The stream must be seekable: its length bounds what is read.", nameof(stream));
        }

        return new Parser(stream).Parse();
    }

    /// <summary>Next multiple of a power of two.</summary>
    internal static long Align(long value, int alignment) => (value + alignment - 1) & -(long)alignment;

    private sealed class Parser(Stream stream)
    {
        private readonly byte[] _small = new byte[8];
        private readonly long _start = stream.Position;
        private readonly long _length = stream.Length - stream.Position;
        private long _offset;
        private long _metadataBytes;

        private long Remaining => _length - _offset;

        public GgufFile Parse()
        {
            CheckMagic();
            int version = ReadVersion();
            long tensorCount = ReadCount("tensors", MinTensorBytes);
            long entryCount = ReadCount("metadata entries", MinEntryBytes);

            KeyValuePair<string, GgufValue>[] entries = ReadEntries(entryCount);
            int alignment = FindAlignment(entries);
            GgufTensor[] tensors = ReadTensors(tensorCount, alignment);
            return new GgufFile(version, alignment, entries, tensors, Align(_offset, alignment), _length);
        }

        private void CheckMagic()
        {
            if (_length < sizeof(uint))
            {
                throw new GgufFormatException($"A GGUF file begins with 'GGUF'; this one has {_length} bytes", 0);
            }

            uint magic = ReadUInt32("the magic number");
            if (magic == BinaryPrimitives.ReverseEndianness(Magic))
            {
                throw new GgufFormatException("A big-endian GGUF file; only little-endian files can be read", 0);
            }

            if (magic != Magic)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(_small, magic);
                throw new GgufFormatException(
                    $"A GGUF file begins with 'GGUF'; this one begins with '{Printable(_small.AsSpan(0, 4))}'",
                    0
                );
            }
        }

        private int ReadVersion()
        {
            uint version = ReadUInt32("the version");
            return version switch
            {
                2 or 3 => (int)version,
                1 => throw new GgufFormatException("GGUF version 1 is no longer supported; convert the model again", 4),
                _ when (version & 0xFFFF) == 0 => throw new GgufFormatException(
                    $"GGUF version {version}: the file was written for a big-endian machine",
                    4
                ),
                _ => throw new GgufFormatException($"GGUF version {version}; versions 2 and 3 are supported", 4),
            };
        }

        private long ReadCount(string what, int minBytes)
        {
            long at = _offset;
            ulong count = ReadUInt64($"the number of {what}");
            if (count > (ulong)(Remaining / minBytes))
            {
                throw new GgufFormatException(
                    $"The header claims {count} {what}; the {Remaining} bytes that follow hold at most {Remaining / minBytes}",
                    at
                );
            }

            return (long)count;
        }

        private KeyValuePair<string, GgufValue>[] ReadEntries(long count)
        {
            // grown as entries are read: 'count' is possible by the file's length, but still only a claim
            List<KeyValuePair<string, GgufValue>> entries = new((int)Math.Min(count, 256));
            HashSet<string> keys = new(StringComparer.Ordinal);
            for (long i = 0; i < count; i++)
            {
                long at = _offset;
                string key = ReadText($"the key of metadata entry {i}", MaxKeyBytes);
                if (key.Length == 0)
                {
                    throw new GgufFormatException($"The key of metadata entry {i} is empty", at);
                }

                if (!keys.Add(key))
                {
                    throw new GgufFormatException($"The metadata key '{key}' appears twice", at);
                }

                entries.Add(new(key, ReadValue(key)));
            }

            return [.. entries];
        }

        private GgufValue ReadValue(string key)
        {
            GgufValueType type = ReadValueType(key);
            if (type != GgufValueType.Array)
            {
                byte[] single = type == GgufValueType.String ? ReadStrings(key, 1) : ReadFixed(key, type, 1);
                return new GgufValue(type, type, 1, single);
            }

            GgufValueType elementType = ReadValueType(key);
            if (elementType == GgufValueType.Array)
            {
                throw new GgufFormatException(
                    $"'{key}' is an array of arrays, which llama.cpp does not read",
                    _offset - 4
                );
            }

            long at = _offset;
            int minBytes = elementType == GgufValueType.String ? sizeof(ulong) : GgufValue.FixedSize(elementType);
            ulong count = ReadUInt64($"the length of '{key}'");
            if (count > (ulong)(Remaining / minBytes))
            {
                throw new GgufFormatException(
                    $"'{key}' claims {count} elements of type {elementType}; the {Remaining} bytes that follow hold at most {Remaining / minBytes}",
                    at
                );
            }

            byte[] bytes =
                elementType == GgufValueType.String
                    ? ReadStrings(key, (long)count)
                    : ReadFixed(key, elementType, (long)count);
            return new GgufValue(GgufValueType.Array, elementType, (long)count, bytes);
        }

        private GgufValueType ReadValueType(string key)
        {
            long at = _offset;
            uint type = ReadUInt32($"the type of '{key}'");
            return type <= (uint)GgufValueType.Float64
                ? (GgufValueType)type
                : throw new GgufFormatException($"'{key}' has the unknown value type {type}", at);
        }

        private byte[] ReadFixed(string key, GgufValueType type, long count)
        {
            long at = _offset;
            long size = GgufValue.FixedSize(type) * count;
            EnsureAvailable(size, $"the value of '{key}'");
            ChargeMetadata(size, key);
            byte[] bytes = new byte[size];
            ReadExactly(bytes);
            if (type == GgufValueType.Bool && bytes.AsSpan().ContainsAnyExceptInRange((byte)0, (byte)1))
            {
                throw new GgufFormatException($"'{key}' holds a boolean that is neither 0 nor 1", at);
            }

            return bytes;
        }

        private byte[] ReadStrings(string key, long count)
        {
            ArrayBufferWriter<byte> buffer = new(64);
            for (long i = 0; i < count; i++)
            {
                long at = _offset;
                ulong length = ReadUInt64($"the length of a string of '{key}'");
                if (length > (ulong)Remaining)
                {
                    throw new GgufFormatException(
                        $"A string of '{key}' claims {length} bytes; the file has {Remaining} more",
                        at
                    );
                }

                ChargeMetadata(sizeof(ulong) + (long)length, key);
                Span<byte> target = buffer.GetSpan(sizeof(ulong) + (int)length)[..(sizeof(ulong) + (int)length)];
                BinaryPrimitives.WriteUInt64LittleEndian(target, length);
                ReadExactly(target[sizeof(ulong)..]);
                buffer.Advance(target.Length);
            }

            return buffer.WrittenSpan.ToArray();
        }

        private int FindAlignment(KeyValuePair<string, GgufValue>[] entries)
        {
            foreach ((string key, GgufValue value) in entries)
            {
                if (key != AlignmentKey)
                {
                    continue;
                }

                if (
                    value.Type != GgufValueType.UInt32
                    || !value.TryGetInt64(out long alignment)
                    || alignment is <= 0 or > 1 << 30
                    || !long.IsPow2(alignment)
                )
                {
                    throw new GgufFormatException(
                        $"'{AlignmentKey}' is {value} of type {value.Type}; a UInt32 power of two is needed",
                        _offset
                    );
                }

                return (int)alignment;
            }

            return DefaultAlignment;
        }

        private GgufTensor[] ReadTensors(long count, int alignment)
        {
            List<GgufTensor> tensors = new((int)Math.Min(count, 1024));
            HashSet<string> names = new(StringComparer.Ordinal);
            long expectedOffset = 0;
            for (long i = 0; i < count; i++)
            {
                long at = _offset;
                string name = ReadText($"the name of tensor {i}", GgufTensor.MaxNameBytes);
                if (!names.Add(name))
                {
                    throw new GgufFormatException($"The tensor name '{name}' appears twice", at);
                }

                uint dimensions = ReadUInt32($"the dimensions of tensor '{name}'");
                if (dimensions > GgufTensor.MaxDimensions)
                {
                    throw new GgufFormatException(
                        $"Tensor '{name}' has {dimensions} dimensions; at most {GgufTensor.MaxDimensions} are possible",
                        _offset - 4
                    );
                }

                long[] shape = new long[dimensions];
                for (int j = 0; j < shape.Length; j++)
                {
                    shape[j] = unchecked((long)ReadUInt64($"the shape of tensor '{name}'"));
                }

                GgufTensorType type = (GgufTensorType)ReadUInt32($"the type of tensor '{name}'");
                if (!GgufTensor.TryGetByteLength(type, shape, out long byteLength, out string? problem))
                {
                    throw new GgufFormatException($"Tensor '{name}' {problem}", at);
                }

                long offsetAt = _offset;
                ulong offset = ReadUInt64($"the data offset of tensor '{name}'");
                if (offset != (ulong)expectedOffset)
                {
                    throw new GgufFormatException(
                        $"Tensor '{name}' begins at data offset {offset}; after its predecessor it must begin at {expectedOffset}",
                        offsetAt
                    );
                }

                // leaves room for the header, whose length is below the file's
                if (byteLength > long.MaxValue / 4 || expectedOffset > long.MaxValue / 4 - byteLength)
                {
                    throw new GgufFormatException($"Tensor '{name}' ends beyond what 64 bits can address", at);
                }

                tensors.Add(new GgufTensor(name, type, shape, expectedOffset, byteLength));
                expectedOffset = Align(expectedOffset + byteLength, alignment);
            }

            return [.. tensors];
        }

        private string ReadText(string what, int maxBytes)
        {
            long at = _offset;
            ulong length = ReadUInt64(what);
            if (length > (ulong)maxBytes)
            {
                throw new GgufFormatException(
                    $"The length of {what} is {length} bytes; at most {maxBytes} are possible",
                    at
                );
            }

            EnsureAvailable((long)length, what);
            ChargeMetadata((long)length, what);
            byte[] bytes = new byte[length];
            ReadExactly(bytes);
            try
            {
                return StrictUtf8.GetString(bytes);
            }
            catch (DecoderFallbackException e)
            {
                throw new GgufFormatException($"The text of {what} is not valid UTF-8", at, e);
            }
        }

        private uint ReadUInt32(string what)
        {
            EnsureAvailable(sizeof(uint), what);
            ReadExactly(_small.AsSpan(0, sizeof(uint)));
            return BinaryPrimitives.ReadUInt32LittleEndian(_small);
        }

        private ulong ReadUInt64(string what)
        {
            EnsureAvailable(sizeof(ulong), what);
            ReadExactly(_small);
            return BinaryPrimitives.ReadUInt64LittleEndian(_small);
        }

        private void EnsureAvailable(long bytes, string what)
        {
            if (bytes > Remaining)
            {
                throw new GgufFormatException(
                    $"The file ends within {what}: {bytes} bytes are needed, {Remaining} are left",
                    _offset
                );
            }
        }

        private void ChargeMetadata(long bytes, string what)
        {
            _metadataBytes += bytes;
            if (_metadataBytes > MaxMetadataBytes)
            {
                throw new GgufFormatException(
                    $"The metadata up to '{what}' exceeds the {MaxMetadataBytes} bytes that are accepted",
                    _offset
                );
            }
        }

        private void ReadExactly(Span<byte> target)
        {
            try
            {
                stream.ReadExactly(target);
            }
            catch (EndOfStreamException e)
            {
                // the file shrank while it was read
                throw new GgufFormatException("The file ended early", stream.Position - _start, e);
            }

            _offset += target.Length;
        }

        private static string Printable(ReadOnlySpan<byte> bytes)
        {
            StringBuilder text = new(bytes.Length);
            foreach (byte b in bytes)
            {
                text.Append(b is >= 0x20 and < 0x7F ? (char)b : '?');
            }

            return text.ToString();
        }
    }

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);
}
