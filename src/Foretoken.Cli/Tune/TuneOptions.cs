using Foretoken.Cli.Options;
using Foretoken.Sessions;
using Foretoken.Tuning;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tune;

/// <summary>What <c>foretoken tune</c> is asked for.</summary>
internal sealed record TuneOptions
{
    /// <summary>GGUF file; null for the model of the samples.</summary>
    internal string? Model { get; init; }

    /// <summary>Where the profile goes; null for beside the model.</summary>
    internal string? Output { get; init; }

    /// <summary>The caller's own prompts: a JSONL file or a folder of such files; null to generate some.</summary>
    internal string? Prompts { get; init; }

    /// <summary>Text files; empty for those of the samples.</summary>
    internal IReadOnlyList<string> Documents { get; init; } = [];

    /// <summary>Generated prompts to fit on.</summary>
    internal int Count { get; init; } = 48;

    /// <summary>Prompts to judge on.</summary>
    internal int HeldOut { get; init; } = 10;

    /// <summary>Tokens of a generated prompt.</summary>
    internal int Length { get; init; } = 640;

    /// <summary>Tokens of a generated prompt to judge on: long enough that a harsh plan still has a choice.</summary>
    internal int HeldOutLength { get; init; } = 1024;

    /// <summary>Facts of this form only; null for all.</summary>
    internal FactForm? Facts { get; init; }

    internal PredictorInputs Inputs { get; init; } = TuningOptions.DefaultInputs;

    /// <summary>Whether the losses of plans are measured.</summary>
    internal bool Measure { get; init; } = true;

    /// <summary>Whether skips are learned.</summary>
    internal bool Skips { get; init; }

    /// <summary>Whether what an existing profile knows of tokens stays as it is.</summary>
    internal bool KeepImportance { get; init; }

    /// <summary>Generated prompts to learn skips from.</summary>
    internal int SkipCount { get; init; } = 24;

    /// <summary>Tokens of a generated prompt to learn skips from.</summary>
    internal int SkipLength { get; init; } = 256;

    /// <summary>LoRA adapters that skips are learned with.</summary>
    internal IReadOnlyList<LoraAdapterOptions> SkipAdapters { get; init; } = [];

    /// <summary>Where examples are kept between runs; null for a folder of the user's cache, which is removed after success.</summary>
    internal string? Examples { get; init; }

    internal int Seed { get; init; } = 1;
    internal int Threads { get; init; }
    internal DeviceChoice Devices { get; init; } = new();
    internal FlashAttentionMode FlashAttention { get; init; }
}
