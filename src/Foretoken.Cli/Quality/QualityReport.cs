using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Cli.Machine;
using Foretoken.Interop;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Quality;

/// <summary>Everything that an evaluation recorded. In JSON, names are camelCase; times are milliseconds.</summary>
internal sealed record QualityReport
{
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>False when the run was cancelled; what had been measured until then is here.</summary>
    public required bool IsComplete { get; init; }

    /// <summary>What <c>measuredSpeedup</c> is measured against.</summary>
    public required string MeasuredAgainst { get; init; }

    public required QualityModel Model { get; init; }
    public required MachineInfo Machine { get; init; }
    public required QualityBuild Build { get; init; }
    public required QualitySettings Settings { get; init; }

    /// <summary>One row per importance, target or plan, kind of prompt and length.</summary>
    public required IReadOnlyList<QualityRow> Rows { get; init; }

    /// <summary>The retrieval prompts again, by the kind of fact that is asked for.</summary>
    public required IReadOnlyList<QualityFactRow> ByFactKind { get; init; }

    /// <summary>The retrieval prompts again, by the number of planted facts.</summary>
    public required IReadOnlyList<QualityFactRow> ByPlantedFacts { get; init; }

    public required IReadOnlyList<QualityPrompt> Prompts { get; init; }

    /// <summary>The raw measurements.</summary>
    public required IReadOnlyList<QualityReportSample> Samples { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, QualityJsonContext.Readable.QualityReport);
}

/// <summary>The model that was judged.</summary>
internal sealed record QualityModel
{
    public required string Name { get; init; }
    public required string Description { get; init; }
    public required string Architecture { get; init; }
    public required int Layers { get; init; }
    public required long Parameters { get; init; }
    public required long SizeBytes { get; init; }

    internal static QualityModel Of(ForetokenModel model) =>
        new()
        {
            Name = Measurand.NameOf(model.Path),
            Description = model.Info.Description,
            Architecture = model.Info.Architecture,
            Layers = model.Info.LayerCount,
            Parameters = model.Info.ParameterCount,
            SizeBytes = model.Info.SizeBytes,
        };
}

/// <summary>The library that computed.</summary>
internal sealed record QualityBuild
{
    public required string Version { get; init; }
    public required string LlamaRelease { get; init; }
    public required string PatchHash { get; init; }

    /// <summary>What the native library says about itself.</summary>
    public required JsonElement Library { get; init; }

    /// <summary>That of the library in use.</summary>
    internal static QualityBuild Read()
    {
        NativeLibraryInfo library = ForetokenModel.GetNativeLibrary();
        using JsonDocument info = JsonDocument.Parse(library.BuildInfo);
        return new QualityBuild
        {
            Version = Measurand.LibraryVersion,
            LlamaRelease = library.LlamaRelease,
            PatchHash = library.PatchHash,
            Library = info.RootElement.Clone(),
        };
    }
}

/// <summary>How it was measured.</summary>
internal sealed record QualitySettings
{
    public required IReadOnlyList<string> Importances { get; init; }
    public required IReadOnlyList<double> Targets { get; init; }
    public required IReadOnlyList<string> Plans { get; init; }
    public required IReadOnlyList<int> Lengths { get; init; }
    public required int? PromptsPerKind { get; init; }
    public required bool Blind { get; init; }
    public required bool Thresholds { get; init; }
    public required int Seed { get; init; }

    /// <summary>Names of the text files that documents were cut from; empty with the caller's own prompts.</summary>
    public required IReadOnlyList<string> Documents { get; init; }

    /// <summary>Name of the file of the caller's own prompts.</summary>
    public required string? PromptFile { get; init; }
    public required int AnswerTokens { get; init; }
    public required int SummaryTokens { get; init; }

    /// <summary>LoRA adapters that were computed with, by the names of their files.</summary>
    public IReadOnlyList<AdapterReport> Adapters { get; init; } = [];

    /// <summary>Whether full prefill was computed without them.</summary>
    public bool FullWithoutAdapters { get; init; }

    /// <summary>Whether passages came back when the answer began to quote them.</summary>
    public bool RestoreQuotes { get; init; }

    /// <summary>How thinned prompts were completed behind the first tokens of the answer; null for not at all.</summary>
    public CompletionOptions? Completion { get; init; }
    public required int Threads { get; init; }
    public required int GpuLayers { get; init; }
    public required string FlashAttention { get; init; }
}

/// <summary>Retrieval prompts that have something in common beside their kind.</summary>
internal sealed record QualityFactRow
{
    public required string Importance { get; init; }
    public required double Target { get; init; }
    public required string? Plan { get; init; }

    /// <summary>Kind of the fact that is asked for; null for all.</summary>
    public required string? Fact { get; init; }

    /// <summary>Planted facts; null for any number.</summary>
    public required int? PlantedFacts { get; init; }

    public required int Prompts { get; init; }
    public required int Answered { get; init; }
    public required int AnsweredByFullPrefill { get; init; }
}

/// <summary>A prompt, without its document.</summary>
internal sealed record QualityPrompt
{
    public required string Id { get; init; }
    public required string Kind { get; init; }
    public required int? Length { get; init; }
    public required string Question { get; init; }
    public required IReadOnlyList<string> Expect { get; init; }
    public required string? AnswerStart { get; init; }
    public required IReadOnlyList<PlantedFact> Facts { get; init; }
}

/// <summary>One prompt, thinned in one way; see <see cref="QualitySample"/>.</summary>
internal sealed record QualityReportSample
{
    public required string Prompt { get; init; }
    public required string Kind { get; init; }
    public required string Importance { get; init; }
    public required double Target { get; init; }

    /// <summary>The plan that ran, as it would be typed; null when everything was kept.</summary>
    public required string? Plan { get; init; }
    public required int PromptTokens { get; init; }
    public required int ThinnedTokens { get; init; }
    public required double PromisedSpeedup { get; init; }
    public required double FullPrefillMs { get; init; }
    public required double PrefillMs { get; init; }
    public required double? FullDecodeMs { get; init; }
    public required double? DecodeMs { get; init; }
    public required double KeptShare { get; init; }
    public required int ForcedTokens { get; init; }
    public required double Kl { get; init; }
    public double KlOfFirst { get; init; }

    /// <summary>From the beginning of full prefill until each output token was there; empty where nothing was completed.</summary>
    public IReadOnlyList<double> FullArrivalsMs { get; init; } = [];

    /// <summary>From the beginning of the thinned prefill, likewise.</summary>
    public IReadOnlyList<double> ArrivalsMs { get; init; } = [];
    public required double Agreement { get; init; }
    public int RestoredTokens { get; init; }
    public required bool? AnsweredByFullPrefill { get; init; }
    public required bool? Answered { get; init; }
    public required string FullAnswer { get; init; }
    public required string? Answer { get; init; }
}

[JsonSerializable(typeof(QualityReport))]
internal sealed partial class QualityJsonContext : JsonSerializerContext
{
    internal static QualityJsonContext Readable { get; } =
        new(
            new JsonSerializerOptions
            {
                PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
                WriteIndented = true,
                Converters = { new JsonStringEnumConverter<FactForm>(JsonNamingPolicy.CamelCase) },
                // for files and terminals: no escapes for characters that only a web page would mind
                Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            }
        );
}
