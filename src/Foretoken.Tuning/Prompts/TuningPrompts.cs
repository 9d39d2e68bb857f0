using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Foretoken.Errors;
using Foretoken.Sessions;

namespace Foretoken.Tuning.Prompts;

/// <summary>What every tuning does with its prompts. Thread-safe.</summary>
internal static class TuningPrompts
{
    private const int KeyBytes = 12;

    /// <summary>Renders the prompts to learn from, and behind them those to judge on.</summary>
    /// <exception cref="ArgumentException">Some are both.</exception>
    internal static RenderedPrompt[] Render(
        PromptRenderer renderer,
        IReadOnlyList<DocumentPrompt> prompts,
        IReadOnlyList<DocumentPrompt> heldOut
    )
    {
        RenderedPrompt[] rendered = [.. prompts.Concat(heldOut).Select(renderer.Render)];
        HashSet<string> fitted = [.. rendered.Take(prompts.Count).Select(prompt => KeyOf(prompt.Tokens))];
        return rendered.Skip(prompts.Count).Any(prompt => fitted.Contains(KeyOf(prompt.Tokens)))
            ? throw new ArgumentException(
                "Some prompts are both to fit on and to judge on; a judgement on what was learned says nothing.",
                nameof(heldOut)
            )
            : rendered;
    }

    /// <summary>Tokens of the context that the longest prompt and its answer need.</summary>
    /// <exception cref="ContextFullException">They do not fit into the model's context.</exception>
    internal static int ContextSize(ForetokenModel model, RenderedPrompt[] prompts, int answerTokens)
    {
        int context = prompts.Max(prompt => prompt.Tokens.Length) + answerTokens;
        return context <= model.Info.TrainingContextSize
            ? context
            : throw new ContextFullException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"The longest prompt and its answer have {context} tokens; this model reads at most {model.Info.TrainingContextSize}. Leave it out or shorten its document."
                )
            );
    }

    /// <summary>A name for tokens.</summary>
    internal static string KeyOf(ReadOnlySpan<int> tokens) => KeyOf(MemoryMarshal.AsBytes(tokens));

    /// <summary>A name for everything that something which is kept between runs depends on.</summary>
    internal static string KeyOf(string settings) => KeyOf(Encoding.UTF8.GetBytes(settings));

    private static string KeyOf(ReadOnlySpan<byte> bytes) =>
        Convert.ToHexStringLower(SHA256.HashData(bytes).AsSpan(0, KeyBytes));
}
