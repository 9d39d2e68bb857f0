using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.Costs;

/// <summary>Cost profiles on disk: the measured prefills as JSON, from which the profile is fitted again.</summary>
internal static class MeasuredCostFile
{
    /// <summary>The environment variable that names the cache folder.</summary>
    internal const string CacheVariable = "FORETOKEN_CACHE";

    private const string Format = "foretoken-cost-profile-1";

    // far above what is ever written
    private const long MostBytes = 1 << 20;

    /// <summary>
    /// Where cost profiles are kept: a folder that is named, that of <see cref="CacheVariable"/>, or the user's cache folder.
    /// </summary>
    /// <returns>The folder, which need not exist; null when the user has no place for it.</returns>
    internal static string? FindFolder(string? cacheFolder)
    {
        string? cache = cacheFolder ?? NonEmpty(CacheVariable);
        if (cache is null)
        {
            string? user =
                OperatingSystem.IsWindows() ? Folder(Environment.SpecialFolder.LocalApplicationData)
                : NonEmpty("XDG_CACHE_HOME") is { } xdg && Path.IsPathFullyQualified(xdg) ? xdg
                : Folder(Environment.SpecialFolder.UserProfile) is not { } home ? null
                : OperatingSystem.IsMacOS() ? Path.Combine(home, "Library", "Caches")
                : Path.Combine(home, ".cache");
            cache = user is null ? null : Path.Combine(user, "foretoken");
        }
        return cache is null ? null : Path.Combine(cache, "cost-profiles");

        static string? NonEmpty(string variable) =>
            Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;

        static string? Folder(Environment.SpecialFolder folder) =>
            Environment.GetFolderPath(folder) is { Length: > 0 } path ? path : null;
    }

    /// <summary>Reads the prefills of a profile.</summary>
    /// <returns>The prefills, oldest first; null when there is no file.</returns>
    /// <exception cref="InvalidDataException">The file is damaged, or of something else.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    internal static IReadOnlyList<PrefillRun>? Read(string path, CostKey key, PrefillLayout layout)
    {
        MeasuredCostDocument? document;
        try
        {
            using FileStream stream = File.OpenRead(path);
            if (stream.Length > MostBytes)
            {
                throw new InvalidDataException("it is larger than any cost profile");
            }
            document = JsonSerializer.Deserialize(stream, MeasuredCostJsonContext.Default.MeasuredCostDocument);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"it is damaged: {e.Message}", e);
        }

        if (document is null || document.Format != Format)
        {
            throw new InvalidDataException($"it is not of the format '{Format}'");
        }
        if (document.Key != key)
        {
            throw new InvalidDataException("it belongs to another model, machine, build or setting");
        }
        List<PrefillRun> runs = [];
        foreach (MeasuredCostRun run in document.Runs)
        {
            runs.Add(run.ToRun(layout) ?? throw new InvalidDataException("it holds times that cannot be"));
        }
        return runs;
    }

    /// <summary>Writes the prefills of a profile; readers see the old file or the new one.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    internal static void Write(string path, CostKey key, IEnumerable<PrefillRun> runs)
    {
        MeasuredCostDocument document = new(Format, key, [.. runs.Select(MeasuredCostRun.Of)]);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        // several processes may write at the same time
        string incoming = $"{path}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (FileStream stream = File.Create(incoming))
            {
                JsonSerializer.Serialize(stream, document, MeasuredCostJsonContext.Default.MeasuredCostDocument);
            }
            File.Move(incoming, path, overwrite: true);
        }
        catch
        {
            File.Delete(incoming);
            throw;
        }
    }
}

/// <summary>The file: what the times belong to, and the times.</summary>
internal sealed record MeasuredCostDocument(string Format, CostKey Key, IReadOnlyList<MeasuredCostRun> Runs);

/// <summary>
/// One prefill. A chunk is [layers on the host, layers on a device, whether the last layer is one of them, tokens, keys in front
/// of it, whether logits were computed, probed pairs, microseconds].
/// </summary>
internal sealed record MeasuredCostRun(
    long Sequence,
    double? CpuShare,
    int Boundaries,
    double RankedTokenLayers,
    double SelectUs,
    double OverheadUs,
    IReadOnlyList<double[]> Chunks
)
{
    internal static MeasuredCostRun Of(PrefillRun run) =>
        new(
            run.Sequence,
            run.CpuShare is { } share ? Math.Round(share, 3) : null,
            run.Boundaries,
            run.RankedTokenLayers,
            Microseconds(run.SelectSeconds),
            Microseconds(run.OverheadSeconds),
            [
                .. run.Chunks.Select(chunk =>
                    (double[])
                        [
                            chunk.Layers.Host,
                            chunk.Layers.Device,
                            chunk.Layers.HasLast ? 1 : 0,
                            chunk.Tokens,
                            chunk.PastKeys,
                            chunk.HasLogits ? 1 : 0,
                            Math.Round(chunk.ProbePairs, 1),
                            Microseconds(chunk.Seconds),
                        ]
                ),
            ]
        );

    /// <summary>The prefill; null when a number is impossible.</summary>
    internal PrefillRun? ToRun(PrefillLayout layout)
    {
        bool isValid =
            Sequence is >= 0 and <= int.MaxValue
            && (CpuShare is null or >= 0)
            && Boundaries >= 0
            && IsAmount(RankedTokenLayers)
            && IsAmount(SelectUs)
            && IsAmount(OverheadUs)
            && Chunks is not null
            && Chunks.All(chunk =>
                chunk is { Length: 8 }
                && Array.TrueForAll(chunk, IsAmount)
                && chunk[0] + chunk[1] <= layout.LayerCount
                && (chunk[2] is 0 or 1)
                && chunk[3] >= 1
                && chunk[3] <= layout.UBatchSize
                && chunk[4] <= int.MaxValue
                && (chunk[5] is 0 or 1)
                && chunk[7] > 0
            );
        return !isValid
            ? null
            : new PrefillRun
            {
                Sequence = Sequence,
                CpuShare = CpuShare,
                Boundaries = Boundaries,
                RankedTokenLayers = RankedTokenLayers,
                SelectSeconds = SelectUs / 1e6,
                OverheadSeconds = OverheadUs / 1e6,
                Chunks =
                [
                    .. Chunks!.Select(chunk => new ChunkSample(
                        new StageLayers((int)chunk[0], (int)chunk[1], chunk[2] == 1),
                        (int)chunk[3],
                        (int)chunk[4],
                        chunk[5] == 1,
                        chunk[6],
                        chunk[7] / 1e6
                    )),
                ],
            };
    }

    private static bool IsAmount(double value) => value >= 0 && double.IsFinite(value);

    private static double Microseconds(double seconds) => Math.Round(seconds * 1e6);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true
)]
[JsonSerializable(typeof(MeasuredCostDocument))]
internal sealed partial class MeasuredCostJsonContext : JsonSerializerContext;
