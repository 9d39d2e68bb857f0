using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Foretoken.Tests.Robustness;

/// <summary>Changes what is right a little, so that most of it is still read.</summary>
internal static class Mutation
{
    private static readonly long[] Numbers =
    [
        0,
        1,
        -1,
        2,
        7,
        255,
        256,
        65535,
        1 << 20,
        int.MaxValue,
        int.MinValue,
        uint.MaxValue,
        1L << 40,
        long.MaxValue,
        long.MinValue,
    ];

    /// <summary>Bytes with one to four of them, or numbers of 4 or 8 bytes, changed in the first <paramref name="length"/>.</summary>
    public static byte[] Bytes(ReadOnlySpan<byte> bytes, int length, Random random)
    {
        byte[] changed = bytes.ToArray();
        length = Math.Min(length, changed.Length);
        for (int i = random.Next(1, 5); i > 0; i--)
        {
            int at = random.Next(length);
            switch (random.Next(6))
            {
                case 0:
                    changed[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    changed[at] = (byte)random.Next(256);
                    break;
                case 2 when at + 4 <= changed.Length:
                    BinaryPrimitives.WriteInt32LittleEndian(changed.AsSpan(at), (int)Number(random));
                    break;
                case 3 when at + 8 <= changed.Length:
                    BinaryPrimitives.WriteInt64LittleEndian(changed.AsSpan(at), Number(random));
                    break;
                case 4:
                    int count = Math.Min(random.Next(1, 33), changed.Length - at);
                    changed.AsSpan(random.Next(length - Math.Min(count, length)), count).CopyTo(changed.AsSpan(at));
                    break;
                default:
                    changed = random.Next(4) == 0 ? changed[..at] : changed;
                    break;
            }
            length = Math.Min(length, changed.Length);
            if (length == 0)
            {
                break;
            }
        }
        return changed;
    }

    /// <summary>A text with pieces of it removed, repeated, moved, replaced by a snippet or by another number.</summary>
    public static string Text(string text, ReadOnlySpan<string> snippets, Random random)
    {
        StringBuilder changed = new(text);
        for (int i = random.Next(1, 6); i > 0 && changed.Length > 0; i--)
        {
            int at = random.Next(changed.Length);
            int count = Math.Min(random.Next(1, 40), changed.Length - at);
            switch (random.Next(6))
            {
                case 0:
                    changed.Remove(at, count);
                    break;
                case 1:
                    string piece = changed.ToString(at, count);
                    changed.Insert(
                        random.Next(changed.Length),
                        string.Concat(Enumerable.Repeat(piece, random.Next(1, 200)))
                    );
                    break;
                case 2:
                    changed.Insert(at, snippets[random.Next(snippets.Length)]);
                    break;
                case 3:
                    changed.Remove(at, count).Insert(at, snippets[random.Next(snippets.Length)]);
                    break;
                case 4:
                    changed.Insert(at, Number(random).ToString(CultureInfo.InvariantCulture));
                    break;
                default:
                    changed[at] = (char)random.Next(1, random.Next(2) == 0 ? 128 : 0xFFFF);
                    break;
            }
        }
        return changed.ToString();
    }

    /// <summary>A text of runs of characters of any kind, halves of surrogate pairs among them.</summary>
    public static string AnyText(Random random, ReadOnlySpan<string> snippets, int longestRun)
    {
        StringBuilder text = new();
        for (int i = random.Next(1, 10); i > 0; i--)
        {
            string piece = random.Next(4) switch
            {
                0 => snippets[random.Next(snippets.Length)],
                1 => ((char)random.Next(0x10000)).ToString(),
                2 => char.ConvertFromUtf32(random.Next(0x10000, 0x110000)),
                _ => ((char)random.Next(1, 128)).ToString(),
            };
            int count = random.Next(4) == 0 ? random.Next(longestRun) : random.Next(1, 5);
            text.Append(string.Concat(Enumerable.Repeat(piece, count)));
        }
        return text.ToString();
    }

    /// <summary>Zero, one, and what is next to the limits of a type.</summary>
    public static long Number(Random random) => Numbers[random.Next(Numbers.Length)];
}
