using System.Globalization;

namespace Foretoken.Gguf;

/// <summary>What a GGUF header says about one tensor. Immutable.</summary>
internal sealed class GgufTensor
{
    /// <summary>Most dimensions of a tensor (<c>GGML_MAX_DIMS</c>).</summary>
    public const int MaxDimensions = 4;

    /// <summary>Most bytes of a tensor name in UTF-8 (<c>GGML_MAX_NAME</c> less the terminator).</summary>
    public const int MaxNameBytes = 63;

    private readonly long[] _shape;

    internal GgufTensor(string name, GgufTensorType type, long[] shape, long offset, long byteLength)
    {
        Name = name;
        Type = type;
        _shape = shape;
        Offset = offset;
        ByteLength = byteLength;
    }

    /// <summary>Name, for example <c>blk.0.attn_q.weight</c>.</summary>
    public string Name { get; }

    /// <summary>Element type.</summary>
    public GgufTensorType Type { get; }

    /// <summary>Elements per dimension, the contiguous dimension (the row length) first, as ggml counts.</summary>
    public IReadOnlyList<long> Shape => _shape;

    /// <summary>Bytes from the beginning of the data section; a multiple of the file's alignment.</summary>
    public long Offset { get; }

    /// <summary>Bytes of data, without padding.</summary>
    public long ByteLength { get; }

    /// <summary>Number of elements.</summary>
    public long ElementCount
    {
        get
        {
            long count = 1;
            foreach (long n in _shape)
            {
                count *= n;
            }

            return count;
        }
    }

    /// <summary>Name, type and shape.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Name} {Type.Name()} [{string.Join(", ", _shape)}]");

    /// <summary>Bytes of a tensor, or the reason why there cannot be one.</summary>
    internal static bool TryGetByteLength(
        GgufTensorType type,
        ReadOnlySpan<long> shape,
        out long byteLength,
        out string? problem
    )
    {
        byteLength = 0;
        if (!GgufTensorTypes.IsKnown(type))
        {
            problem = $"has the unknown or removed type {(int)type}";
            return false;
        }

        if (shape.Length > MaxDimensions)
        {
            problem = $"has {shape.Length} dimensions; at most {MaxDimensions} are possible";
            return false;
        }

        long elements = 1;
        foreach (long n in shape)
        {
            if (n <= 0)
            {
                problem = $"has a dimension of {n} elements; at least 1 is needed";
                return false;
            }

            if (elements > long.MaxValue / n)
            {
                problem = "has more elements than 64 bits can count";
                return false;
            }

            elements *= n;
        }

        long row = shape.Length == 0 ? 1 : shape[0];
        if (row % type.BlockLength() != 0)
        {
            problem = $"has rows of {row} elements; type {type.Name()} needs a multiple of {type.BlockLength()}";
            return false;
        }

        long blocks = elements / type.BlockLength();
        if (blocks > long.MaxValue / type.BlockBytes())
        {
            problem = "has more bytes than 64 bits can count";
            return false;
        }

        byteLength = blocks * type.BlockBytes();
        problem = null;
        return true;
    }
}
