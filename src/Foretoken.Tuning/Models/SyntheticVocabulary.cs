using System.Globalization;
using Foretoken.Gguf;

namespace Foretoken.Tuning.Models;

/// <summary>The tokeniser of synthetic models: byte-level BPE that can spell any text.</summary>
internal static class SyntheticVocabulary
{
    private const int NormalToken = 1;
    private const int ControlToken = 3;

    // in the alphabet of byte-level BPE, where a space is Ġ
    private static readonly string[] Merges =
    [
        "Ġ t",
        "Ġ a",
        "h e",
        "i n",
        "r e",
        "o n",
        "Ġt he",
        "e r",
        "Ġ s",
        "a t",
        "Ġ w",
        "Ġ o",
        "n d",
        "i s",
        "o r",
        "e s",
        "e n",
        "Ġ c",
        "in g",
        "Ġo f",
        "Ġa nd",
        "Ġt o",
        "Ġ in",
        "Ġ is",
    ];

    private const string Begin = "<|begin_of_text|>";
    private const string End = "<|end_of_text|>";
    private const string TurnBegin = "<|im_start|>";
    private const string TurnEnd = "<|im_end|>";

    private const string ChatTemplate =
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
        + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    /// <summary>Writes the tokeniser's keys.</summary>
    /// <exception cref="ArgumentException">The vocabulary has no room for bytes, merges and control tokens.</exception>
    public static void SetMetadata(GgufWriter writer, int size)
    {
        List<string> tokens =
        [
            .. Enumerable.Range(0, 256).Select(b => ByteSymbol(b).ToString()),
            .. Merges.Select(m => m.Replace(" ", "", StringComparison.Ordinal)),
        ];
        int firstControl = tokens.Count;
        tokens.AddRange([Begin, End, TurnBegin, TurnEnd]);
        int firstPlaceholder = tokens.Count;
        if (size < firstPlaceholder)
        {
            throw new ArgumentException(
                $"A vocabulary of {size} tokens is too small for a tokeniser; at least {firstPlaceholder} are needed."
            );
        }

        for (int i = firstPlaceholder; i < size; i++)
        {
            tokens.Add(string.Create(CultureInfo.InvariantCulture, $"Ġw{i}"));
        }

        int[] types = new int[size];
        Array.Fill(types, NormalToken);
        Array.Fill(types, ControlToken, firstControl, firstPlaceholder - firstControl);

        uint Id(string token) => (uint)tokens.IndexOf(token);

        writer.Set("tokenizer.ggml.model", GgufValue.From("gpt2"));
        writer.Set("tokenizer.ggml.pre", GgufValue.From("llama-bpe"));
        writer.Set("tokenizer.ggml.tokens", GgufValue.FromStrings(tokens));
        writer.Set("tokenizer.ggml.token_type", GgufValue.FromArray<int>(types));
        writer.Set("tokenizer.ggml.merges", GgufValue.FromStrings(Merges));
        writer.Set("tokenizer.ggml.bos_token_id", GgufValue.From(Id(Begin)));
        writer.Set("tokenizer.ggml.eos_token_id", GgufValue.From(Id(End)));
        writer.Set("tokenizer.ggml.eot_token_id", GgufValue.From(Id(TurnEnd)));
        writer.Set("tokenizer.ggml.add_bos_token", GgufValue.From(true));
        writer.Set("tokenizer.chat_template", GgufValue.From(ChatTemplate));
    }

    // GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others for the characters from 256 on, in order
    private static char ByteSymbol(int value)
    {
        static bool IsPrintable(int b) => b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);

        if (IsPrintable(value))
        {
            return (char)value;
        }

        int others = 0;
        for (int b = 0; b < value; b++)
        {
            others += IsPrintable(b) ? 0 : 1;
        }

        return (char)(256 + others);
    }
}
