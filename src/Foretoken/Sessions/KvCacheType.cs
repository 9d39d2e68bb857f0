namespace Foretoken.Sessions;

/// <summary>Number format of the keys and values in the KV cache.</summary>
public enum KvCacheType
{
    /// <summary>16-bit floating point: 2 bytes per value. The default.</summary>
    F16,

    /// <summary>8-bit blocks: 1.06 bytes per value, next to no loss.</summary>
    Q8,

    /// <summary>4-bit blocks: 0.56 bytes per value, a visible loss on small models.</summary>
    Q4,

    /// <summary>32-bit floating point: 4 bytes per value.</summary>
    F32,

    /// <summary>16-bit brain floating point: 2 bytes per value.</summary>
    BF16,
}
