using System.CommandLine;
using Foretoken.Cli.Console;
using Foretoken.Sessions;

namespace Foretoken.Cli.Options;

/// <summary>What the options of several commands have in common.</summary>
internal static class CommandOptions
{
    /// <summary>An option whose value is a list of whole numbers, separated by commas.</summary>
    internal static Option<int[]> WholeNumbers(string name, string example, string description) =>
        new WholeNumberListOption(name) { HelpName = example, Description = description };

    /// <summary>An option whose value is a list of numbers, separated by commas.</summary>
    internal static Option<double[]> Numbers(string name, string example, string description) =>
        new NumberListOption(name) { HelpName = example, Description = description };

    /// <summary><c>MODEL</c>, in front of the options.</summary>
    internal static Argument<string?> Model() =>
        new("MODEL")
        {
            Description = "GGUF file. Default: the model that comes with the samples.",
            Arity = ArgumentArity.ZeroOrOne,
        };

    /// <summary>The model that was named; null for the one that comes with the samples.</summary>
    /// <exception cref="CliException">Two were.</exception>
    internal static string? ModelOf(string? argument, string? option) =>
        argument is not null && option is not null
            ? throw new CliException($"'{argument}' and --model '{option}' both name a model; give one.")
            : argument ?? option;

    /// <summary><c>--documents</c>; <see cref="SampleDocuments.Or"/> knows the default.</summary>
    internal static Option<string[]> Documents() =>
        new("--documents", "-d")
        {
            HelpName = "file...",
            Description = "Text files to cut documents from. Default: those that come with the samples.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [],
        };

    /// <summary><c>--seed</c>.</summary>
    internal static Option<int> Seed(int seed, string description = "Seed of the generated prompts.") =>
        new Option<int>("--seed")
        {
            HelpName = "n",
            Description = description,
            DefaultValueFactory = _ => seed,
        }.Whole();

    /// <summary><c>--threads</c>; 0 is one per core.</summary>
    internal static Option<int> Threads(string description = "Threads. Default: one per core.") =>
        new Option<int>("--threads", "-t") { HelpName = "n", Description = description }.Whole(
            0,
            SessionOptions.MaxThreads
        );

    /// <summary><c>--html</c>.</summary>
    internal static Option<string?> Html(string description) =>
        new("--html") { HelpName = "file", Description = description };

    /// <summary><c>--flash-attn</c>; <see cref="FlashAttentionOf"/> reads it.</summary>
    internal static Option<string> FlashAttention(string description = "Fused attention.")
    {
        Option<string> option = new("--flash-attn")
        {
            HelpName = "auto|on|off",
            Description = description,
            DefaultValueFactory = _ => "auto",
        };
        option.AcceptOnlyFromAmong("auto", "on", "off");
        return option;
    }

    internal static FlashAttentionMode FlashAttentionOf(ParseResult parsed, Option<string> option) =>
        Enum.Parse<FlashAttentionMode>(parsed.GetValue(option)!, ignoreCase: true);

    /// <summary><c>--lora</c>; <see cref="LoraOf"/> reads it.</summary>
    internal static Option<string[]> Lora(string description) =>
        new("--lora")
        {
            HelpName = "file[=scale]",
            Description = $"{description} A GGUF file, at scale 1 unless one is given; may be given several times.",
            DefaultValueFactory = _ => [],
        };

    /// <exception cref="CliException">A file is missing, or a scale is not a finite number other than 0.</exception>
    internal static IReadOnlyList<LoraAdapterOptions> LoraOf(ParseResult parsed, Option<string[]> option) =>
        [.. (parsed.GetValue(option) ?? []).Select(ParseLora)];

    internal static LoraAdapterOptions ParseLora(string text)
    {
        string path = text;
        float scale = 1;
        // a name may have the sign in it
        if (!File.Exists(text) && text.LastIndexOf('=') is > 0 and int at)
        {
            path = text[..at];
            string typed = text[(at + 1)..];
            bool isNumber = NumberText.TryParse(typed, out double number, out string? error);
            scale = (float)number;
            if (!isNumber || !float.IsFinite(scale) || scale == 0)
            {
                throw new CliException(
                    $"--lora {text}: '{typed}' is no scale. {(isNumber ? "" : error + " ")}A scale is a number other than 0, such as {path}=0.5."
                );
            }
        }

        return File.Exists(path)
            ? new LoraAdapterOptions { Path = path, Scale = scale }
            : throw new CliException(
                $"--lora {text}: there is no file '{path}'. Give a LoRA adapter of the model in GGUF, as llama.cpp's convert_lora_to_gguf.py writes it."
            );
    }

    /// <summary><c>--json</c>, of every command that measures; <see cref="JsonOf"/> reads it.</summary>
    internal static Option<string?> Json() =>
        new("--json")
        {
            HelpName = "file|-",
            Description =
                "Write everything that was recorded, raw samples included, as one JSON object; without a file, or with -, to standard output in place of the table.",
            Arity = ArgumentArity.ZeroOrOne,
        };

    /// <returns>The file, <c>-</c> for standard output, null when the option is not given.</returns>
    internal static string? JsonOf(ParseResult parsed, Option<string?> option) =>
        parsed.GetResult(option) is null ? null : parsed.GetValue(option) ?? "-";

    /// <summary>Refuses a file that must not or could not be written, before minutes are spent on what it is for.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="path">The file; null and <c>-</c> are none.</param>
    /// <exception cref="CliException">Its folder does not exist, or it is a model.</exception>
    internal static void EnsureWritable(string option, string? path)
    {
        if (path is null or "-")
        {
            return;
        }

        // the value of --json may be left out, and then a model behind it would be taken for it
        if (path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))
        {
            throw new CliException(
                $"'{option} {path}' would write over a model. Name the model before the options, or with --model."
            );
        }

        EnsureFolderExists(path);
    }

    /// <summary>Refuses a file that could not be written, before minutes are spent on what it is for.</summary>
    /// <exception cref="CliException">Its folder does not exist.</exception>
    internal static void EnsureFolderExists(string path)
    {
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder && !Directory.Exists(folder))
        {
            throw new CliException($"'{path}' cannot be written: there is no folder '{folder}'.");
        }
    }
}
