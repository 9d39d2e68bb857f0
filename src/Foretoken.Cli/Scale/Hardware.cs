using Foretoken.Cli.Console;

namespace Foretoken.Cli.Scale;

/// <summary>A device as its data sheet describes it, and which share of that is taken to be reached.</summary>
/// <remarks>
/// Peaks are dense: figures that count on structured sparsity are halved. The shares are assumptions, not measurements. For
/// matrix products one half is assumed everywhere. Attention is taken to reach 0.35 on GPUs, as published for FlashAttention-2
/// on an H100 (FlashAttention-3, arXiv 2407.08608, abstract), and one quarter on CPUs.
/// </remarks>
internal sealed record Hardware
{
    private static readonly Hardware[] Known =
    [
        new()
        {
            Name = "epyc-9654",
            Description = "AMD EPYC 9654, one socket, 768 GB",
            PeakTflops = 7.37,
            BandwidthGBps = 460.8,
            MemoryGB = 768,
            AttentionEfficiency = 0.25,
            Source =
                "AMD EPYC 9004 series data sheet: 96 cores, 2.4 GHz base, 12 channels of DDR5-4800; two 256-bit FMA units per core (Software Optimization Guide for Zen 4): 96 x 2.4 GHz x 32 f32 operations. The memory is 12 modules of 64 GB",
        },
        new()
        {
            Name = "xeon-8480",
            Description = "Intel Xeon Platinum 8480+, one socket, AMX, 512 GB",
            PeakTflops = 114.7,
            BandwidthGBps = 307.2,
            MemoryGB = 512,
            AttentionEfficiency = 0.25,
            Source =
                "Intel product page: 56 cores, 2.0 GHz base, 8 channels of DDR5-4800; Intel AMX product brief: 1,024 bf16 operations per cycle and core. The memory is 8 modules of 64 GB",
        },
        new()
        {
            Name = "m1-ultra",
            Description = "Apple M1 Ultra, 64 GPU cores, 128 GB",
            PeakTflops = 20.8,
            BandwidthGBps = 800,
            MemoryGB = 128,
            AttentionEfficiency = 0.35,
            Source =
                "Apple newsroom, 8 March 2022: 64 GPU cores, 800 GB/s, 128 GB; 10 November 2020: 2.6 teraflops for the 8 GPU cores of M1, taken eight times",
        },
        new()
        {
            Name = "rtx-4090",
            Description = "NVIDIA GeForce RTX 4090, 24 GB",
            PeakTflops = 165.2,
            BandwidthGBps = 1008,
            MemoryGB = 24,
            AttentionEfficiency = 0.35,
            Source = "NVIDIA Ada GPU architecture whitepaper: f16 tensor cores with f32 accumulation, dense",
        },
        new()
        {
            Name = "h100",
            Description = "NVIDIA H100 SXM, 80 GB",
            PeakTflops = 989.5,
            BandwidthGBps = 3350,
            MemoryGB = 80,
            AttentionEfficiency = 0.35,
            Source = "NVIDIA H100 data sheet: 1,979 teraflops bf16 with sparsity, halved; 3.35 TB/s",
        },
        new()
        {
            Name = "h200",
            Description = "NVIDIA H200 SXM, 141 GB",
            PeakTflops = 989.5,
            BandwidthGBps = 4800,
            MemoryGB = 141,
            AttentionEfficiency = 0.35,
            Source = "NVIDIA H200 data sheet: 1,979 teraflops bf16 with sparsity, halved; 4.8 TB/s",
        },
    ];

    /// <summary>The names that <see cref="Parse"/> knows.</summary>
    internal static IReadOnlyList<string> Names { get; } = [.. Known.Select(hardware => hardware.Name)];

    public required string Name { get; init; }
    public required string Description { get; init; }

    /// <summary>Dense peak of matrix products, 10^12 operations per second.</summary>
    public required double PeakTflops { get; init; }

    /// <summary>Memory bandwidth, 10^9 bytes per second.</summary>
    public required double BandwidthGBps { get; init; }

    /// <summary>Memory for weights and KV cache, 10^9 bytes.</summary>
    public required double MemoryGB { get; init; }

    /// <summary>Share of the peak that matrix products are taken to reach.</summary>
    public double MatrixEfficiency { get; init; } = 0.5;

    /// <summary>Share of the peak that attention is taken to reach.</summary>
    public required double AttentionEfficiency { get; init; }

    /// <summary>Where the figures come from.</summary>
    public required string Source { get; init; }

    /// <summary>
    /// A name, or figures such as <c>tflops=27,bandwidth=800,memory=192</c>; <c>matrix</c> and <c>attention</c> set the
    /// assumed shares. Figures behind a name replace its own.
    /// </summary>
    /// <exception cref="CliException">It is neither; the message says what is possible.</exception>
    internal static Hardware Parse(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        Hardware? named = null;
        Dictionary<string, double> figures = new(StringComparer.OrdinalIgnoreCase);
        string previous = "";
        foreach (string part in parts)
        {
            string[] pair = part.Split('=', 2, StringSplitOptions.TrimEntries);
            if (pair.Length == 1 && part == parts[0])
            {
                named =
                    Array.Find(
                        Known,
                        hardware => string.Equals(hardware.Name, part, StringComparison.OrdinalIgnoreCase)
                    ) ?? throw new CliException($"There is no hardware named '{part}'. {Help}");
            }
            else if (pair.Length == 1 && previous.Contains('=') && part.All(char.IsAsciiDigit))
            {
                throw new CliException(
                    $"'{previous},{part}' in '{text}' reads as two figures, because commas separate: write {previous}.{part}."
                );
            }
            else if (pair.Length == 2 && NumberText.TryParse(pair[1], out double value, out _) && value > 0)
            {
                figures[pair[0]] = value;
            }
            else
            {
                throw new CliException($"'{part}' in '{text}' is not a figure above 0. {Help}");
            }
            previous = part;
        }

        double Take(string key, double? fallback) =>
            figures.Remove(key, out double value)
                ? value
                : fallback ?? throw new CliException($"'{key}' is missing in '{text}'. {Help}");

        double Share(string key, double fallback) =>
            Take(key, fallback) is var share && share <= 1
                ? share
                : throw new CliException($"'{key}' in '{text}' is a share of the peak: above 0, at most 1.");

        bool changed = figures.Count > 0;
        Hardware result = new()
        {
            Name = changed ? text : named?.Name ?? text,
            Description = changed ? text : named?.Description ?? text,
            PeakTflops = Take("tflops", named?.PeakTflops),
            BandwidthGBps = Take("bandwidth", named?.BandwidthGBps),
            MemoryGB = Take("memory", named?.MemoryGB),
            MatrixEfficiency = Share("matrix", named?.MatrixEfficiency ?? 0.5),
            AttentionEfficiency = Share("attention", named?.AttentionEfficiency ?? 0.35),
            Source = changed ? "given on the command line" : named?.Source ?? "given on the command line",
        };
        return figures.Count == 0
            ? result
            : throw new CliException($"'{figures.Keys.First()}' in '{text}' is no figure of a device. {Help}");
    }

    private static string Help =>
        $"Known: {string.Join(", ", Names)}. Or give figures: tflops=27,bandwidth=800,memory=192 (10^12 operations, 10^9 bytes per second, 10^9 bytes; optional: matrix, attention, the shares of the peak that are reached).";
}
