using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Chat;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Quality;
using Foretoken.Plans;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Tests.Quality;

/// <summary>A report as an evaluation would give it.</summary>
internal static class QualityReports
{
    internal static IReadOnlyList<QualitySample> Samples(params int[] lengths) =>
        [
            .. from length in lengths
            from importance in (string[])["head-normalized-window", "most-recent", "a<b>&\"c\""]
            from target in (double[])[1.5, 2]
            from kind in (string[])["retrieval-last", "retrieval-first", "summary"]
            select new QualitySample
            {
                Prompt = $"evaluation-{kind}-{length}-0",
                Kind = kind,
                Length = length,
                PromptTokens = length + 30,
                ThinnedTokens = length + 30,
                Facts = kind == "summary" ? [] : ["price"],
                Importance = importance,
                Target = target,
                Plan = PrefillPlan.FromBoundaries([new PlanBoundary(6, 1 / target)]),
                PromisedSpeedup = target,
                FullPrefillMs = 1000,
                PrefillMs = 1000 / (target + 0.1),
                FullDecodeMs = 20,
                DecodeMs = 20 / target,
                KeptShare = 1 / target,
                ForcedTokens = 16,
                Kl = target / 10,
                Agreement = 0.8,
                AnsweredByFullPrefill = kind == "summary" ? null : true,
                Answered = kind == "summary" ? null : target < 2,
                FullAnswer = "37",
                Answer = null,
            },
        ];

    internal static QualityReport Of(IReadOnlyList<QualitySample> samples)
    {
        using JsonDocument library = JsonDocument.Parse("{}");
        return new QualityReport
        {
            CreatedAt = DateTimeOffset.UnixEpoch,
            IsComplete = true,
            MeasuredAgainst = "our own full prefill",
            Model = new QualityModel
            {
                Name = "a model <with> marks & more",
                Description = "llama 135M Q4_1",
                Architecture = "llama",
                Layers = 30,
                Parameters = 135_000_000,
                SizeBytes = 98_000_000,
            },
            Machine = MachineInfo.Read(),
            Build = new QualityBuild
            {
                Version = "0.1.0",
                LlamaRelease = "b8390",
                PatchHash = "0123",
                Library = library.RootElement.Clone(),
            },
            Settings = new QualitySettings
            {
                Importances = ["head-normalized-window"],
                Targets = [1.5, 2],
                Plans = [],
                Lengths = [.. samples.Select(sample => sample.Length).Distinct()],
                PromptsPerKind = 1,
                Blind = false,
                Thresholds = false,
                Seed = 1,
                Documents = ["jargon.txt"],
                PromptFile = null,
                AnswerTokens = 16,
                SummaryTokens = 24,
                Threads = 2,
                GpuLayers = 0,
                FlashAttention = "auto",
            },
            Rows = QualityTable.Summarize(samples),
            ByFactKind = [],
            ByPlantedFacts = [],
            Prompts = [],
            Samples = [],
        };
    }
}
