using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Foretoken.Gguf;

/// <summary>A metadata value, kept in the bytes of the file format and decoded on demand.</summary>
/// <remarks>
/// Keeping the bytes makes a copy exact, also where text is not valid UTF-8, and costs no object per vocabulary entry
/// for readers that only look at the header. Immutable and thread-safe.
/// </remarks>
internal sealed class GgufValue
{
    private readonly ReadOnlyMemory<byte> _bytes;

    internal GgufValue(GgufValueType type, GgufValueType elementType, long count, ReadOnlyMemory<byte> bytes)
    {
        Type = type;
        ElementType = elementType;
        Count = count;
        _bytes = bytes;
    }

    /// <summary>Type of the value; <see cref="GgufValueType.Array"/> for arrays.</summary>
    public GgufValueType Type { get; }

    /// <summary>Type of the elements of an array; equal to <see cref="Type"/> for a single value.</summary>
    public GgufValueType ElementType { get; }

    /// <summary>Elements of an array; 1 for a single value.</summary>
    public long Count { get; }

    /// <summary>Whether the value is an array.</summary>
    public bool IsArray => Type == GgufValueType.Array;

    /// <summary>The encoded value, without type and, for arrays, without element type and count. Little-endian.</summary>
    internal ReadOnlySpan<byte> Bytes => _bytes.Span;

    /// <summary>Creates a single value.</summary>
    /// <param name="value">The value.</param>
    public static GgufValue From(byte value) => Scalar(GgufValueType.UInt8, [value]);

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(ushort value)
    {
        byte[] bytes = new byte[sizeof(ushort)];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        return Scalar(GgufValueType.UInt16, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(uint value)
    {
        byte[] bytes = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return Scalar(GgufValueType.UInt32, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(int value)
    {
        byte[] bytes = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        return Scalar(GgufValueType.Int32, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(ulong value)
    {
        byte[] bytes = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return Scalar(GgufValueType.UInt64, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(long value)
    {
        byte[] bytes = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return Scalar(GgufValueType.Int64, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(float value)
    {
        byte[] bytes = new byte[sizeof(float)];
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        return Scalar(GgufValueType.Float32, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(double value)
    {
        byte[] bytes = new byte[sizeof(double)];
        BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
        return Scalar(GgufValueType.Float64, bytes);
    }

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(bool value) => Scalar(GgufValueType.Bool, [value ? (byte)1 : (byte)0]);

    /// <inheritdoc cref="From(byte)"/>
    public static GgufValue From(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return Scalar(GgufValueType.String, EncodeStrings([value]));
    }

    /// <summary>Creates an array of strings.</summary>
    /// <param name="values">The elements; may be empty.</param>
    public static GgufValue FromStrings(IReadOnlyList<string> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        return new GgufValue(GgufValueType.Array, GgufValueType.String, values.Count, EncodeStrings(values));
    }

    /// <summary>Creates an array of numbers or booleans.</summary>
    /// <typeparam name="T">A type of fixed width that GGUF knows.</typeparam>
    /// <param name="values">The elements; may be empty.</param>
    /// <exception cref="NotSupportedException"><typeparamref name="T"/> is no GGUF type.</exception>
    public static GgufValue FromArray<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (!BitConverter.IsLittleEndian)
        {
            throw new PlatformNotSupportedException("GGUF arrays are written on little-endian machines only.");
        }

        GgufValueType type = TypeOf<T>();
        return new GgufValue(GgufValueType.Array, type, values.Length, MemoryMarshal.AsBytes(values).ToArray());
    }

    /// <summary>Reads an integer of any width.</summary>
    /// <param name="value">The integer when the result is <see langword="true"/>.</param>
    /// <returns>Whether this is a single integer that fits.</returns>
    public bool TryGetInt64(out long value)
    {
        ReadOnlySpan<byte> b = Bytes;
        switch (Type)
        {
            case GgufValueType.UInt8:
                value = b[0];
                return true;
            case GgufValueType.Int8:
                value = (sbyte)b[0];
                return true;
            case GgufValueType.UInt16:
                value = BinaryPrimitives.ReadUInt16LittleEndian(b);
                return true;
            case GgufValueType.Int16:
                value = BinaryPrimitives.ReadInt16LittleEndian(b);
                return true;
            case GgufValueType.UInt32:
                value = BinaryPrimitives.ReadUInt32LittleEndian(b);
                return true;
            case GgufValueType.Int32:
                value = BinaryPrimitives.ReadInt32LittleEndian(b);
                return true;
            case GgufValueType.Int64:
                value = BinaryPrimitives.ReadInt64LittleEndian(b);
                return true;
            case GgufValueType.UInt64:
                ulong wide = BinaryPrimitives.ReadUInt64LittleEndian(b);
                value = unchecked((long)wide);
                return wide <= long.MaxValue;
            default:
                value = 0;
                return false;
        }
    }

    /// <summary>Reads a floating-point number or an integer.</summary>
    /// <param name="value">The number when the result is <see langword="true"/>.</param>
    /// <returns>Whether this is a single number.</returns>
    public bool TryGetDouble(out double value)
    {
        switch (Type)
        {
            case GgufValueType.Float32:
                value = BinaryPrimitives.ReadSingleLittleEndian(Bytes);
                return true;
            case GgufValueType.Float64:
                value = BinaryPrimitives.ReadDoubleLittleEndian(Bytes);
                return true;
            default:
                bool isInteger = TryGetInt64(out long integer);
                value = integer;
                return isInteger;
        }
    }

    /// <summary>Reads a boolean.</summary>
    /// <param name="value">The boolean when the result is <see langword="true"/>.</param>
    /// <returns>Whether this is a single boolean.</returns>
    public bool TryGetBoolean(out bool value)
    {
        value = Type == GgufValueType.Bool && Bytes[0] != 0;
        return Type == GgufValueType.Bool;
    }

    /// <summary>Reads text.</summary>
    /// <param name="value">The text when the result is <see langword="true"/>; invalid UTF-8 is replaced.</param>
    /// <returns>Whether this is a single string.</returns>
    public bool TryGetString([NotNullWhen(true)] out string? value)
    {
        value = Type == GgufValueType.String ? Encoding.UTF8.GetString(Bytes[sizeof(ulong)..]) : null;
        return value is not null;
    }

    /// <summary>Decodes an array of strings.</summary>
    /// <returns>A new array; invalid UTF-8 is replaced.</returns>
    /// <exception cref="InvalidOperationException">This is not an array of strings.</exception>
    public string[] GetStrings()
    {
        if (!IsArray || ElementType != GgufValueType.String)
        {
            throw new InvalidOperationException($"The value is {this}, not an array of strings.");
        }

        string[] values = new string[Count];
        ReadOnlySpan<byte> rest = Bytes;
        for (int i = 0; i < values.Length; i++)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(rest);
            values[i] = Encoding.UTF8.GetString(rest.Slice(sizeof(ulong), length));
            rest = rest[(sizeof(ulong) + length)..];
        }

        return values;
    }

    /// <summary>Decodes an array of numbers or booleans.</summary>
    /// <typeparam name="T">The element type, exactly as stored.</typeparam>
    /// <returns>A new array.</returns>
    /// <exception cref="InvalidOperationException">This is not an array of <typeparamref name="T"/>.</exception>
    /// <exception cref="NotSupportedException"><typeparamref name="T"/> is no GGUF type.</exception>
    public T[] GetArray<T>()
        where T : unmanaged
    {
        GgufValueType type = TypeOf<T>();
        if (!IsArray || ElementType != type)
        {
            throw new InvalidOperationException($"The value is {this}, not an array of {type}.");
        }

        if (!BitConverter.IsLittleEndian)
        {
            throw new PlatformNotSupportedException("GGUF arrays are read on little-endian machines only.");
        }

        return MemoryMarshal.Cast<byte, T>(Bytes).ToArray();
    }

    /// <summary>A short description: the value, or for arrays and long text its size.</summary>
    public override string ToString()
    {
        if (IsArray)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{ElementType}[{Count}]");
        }

        if (TryGetString(out string? text))
        {
            return text.Length <= 64 ? $"\"{text}\"" : $"\"{text[..64]}…\"";
        }

        if (TryGetBoolean(out bool boolean))
        {
            return boolean ? "true" : "false";
        }

        if (Type == GgufValueType.UInt64)
        {
            return BinaryPrimitives.ReadUInt64LittleEndian(Bytes).ToString(CultureInfo.InvariantCulture);
        }

        return TryGetInt64(out long integer) ? integer.ToString(CultureInfo.InvariantCulture)
            : TryGetDouble(out double number) ? number.ToString(CultureInfo.InvariantCulture)
            : Type.ToString();
    }

    /// <summary>Bytes of one value of a type of fixed width; 0 for strings and arrays.</summary>
    internal static int FixedSize(GgufValueType type) =>
        type switch
        {
            GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Bool => 1,
            GgufValueType.UInt16 or GgufValueType.Int16 => 2,
            GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
            GgufValueType.UInt64 or GgufValueType.Int64 or GgufValueType.Float64 => 8,
            _ => 0,
        };

    private static GgufValue Scalar(GgufValueType type, byte[] bytes) => new(type, type, 1, bytes);

    private static byte[] EncodeStrings(IReadOnlyList<string> values)
    {
        int total = 0;
        foreach (string value in values)
        {
            total = checked(total + sizeof(ulong) + Encoding.UTF8.GetByteCount(value));
        }

        byte[] bytes = new byte[total];
        Span<byte> rest = bytes;
        foreach (string value in values)
        {
            int length = Encoding.UTF8.GetBytes(value, rest[sizeof(ulong)..]);
            BinaryPrimitives.WriteUInt64LittleEndian(rest, (ulong)length);
            rest = rest[(sizeof(ulong) + length)..];
        }

        return bytes;
    }

    private static GgufValueType TypeOf<T>()
        where T : unmanaged =>
        typeof(T) == typeof(byte) ? GgufValueType.UInt8
        : typeof(T) == typeof(sbyte) ? GgufValueType.Int8
        : typeof(T) == typeof(ushort) ? GgufValueType.UInt16
        : typeof(T) == typeof(short) ? GgufValueType.Int16
        : typeof(T) == typeof(uint) ? GgufValueType.UInt32
        : typeof(T) == typeof(int) ? GgufValueType.Int32
        : typeof(T) == typeof(float) ? GgufValueType.Float32
        : typeof(T) == typeof(bool) ? GgufValueType.Bool
        : typeof(T) == typeof(ulong) ? GgufValueType.UInt64
        : typeof(T) == typeof(long) ? GgufValueType.Int64
        : typeof(T) == typeof(double) ? GgufValueType.Float64
        : throw new NotSupportedException($"GGUF has no arrays of {typeof(T)}.");
}
