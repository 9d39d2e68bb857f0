using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.Tuning.Skips;

/// <summary>What was measured on one prompt. Kept as JSON, so that an interrupted tuning goes on where it was.</summary>
internal sealed record SkipExample
{
    /// <summary>What the routers read, [embedding].</summary>
    public required float[] Features { get; init; }

    /// <summary>
    /// Block influence of each layer: 1 - cosine of its input and output, mean over the tokens; 0 for the first and the last layer,
    /// which cannot be skipped.
    /// </summary>
    public required double[] Influence { get; init; }

    /// <summary>The divergence and the agreement by what was left out.</summary>
    public required Dictionary<string, SkipLoss> Losses { get; init; }

    /// <summary>Writes it; the file appears only when it is complete.</summary>
    internal void Write(string path)
    {
        string unfinished = path + ".tmp";
        File.WriteAllBytes(unfinished, JsonSerializer.SerializeToUtf8Bytes(this, SkipJsonContext.Default.SkipExample));
        File.Move(unfinished, path, overwrite: true);
    }

    /// <summary>Reads it; <see langword="null"/> when there is none, or one that an interruption or a full disk left damaged.</summary>
    internal static SkipExample? TryRead(string path)
    {
        try
        {
            return File.Exists(path)
                ? JsonSerializer.Deserialize(File.ReadAllBytes(path), SkipJsonContext.Default.SkipExample)
                : null;
        }
        catch (Exception e) when (e is IOException or JsonException)
        {
            return null;
        }
    }
}

/// <summary>What leaving something out cost on one prompt.</summary>
/// <param name="Kl">KL(full || without) over the forced tokens, mean, nats.</param>
/// <param name="Agreement">Share of the forced tokens at which the most likely token is the same.</param>
internal readonly record struct SkipLoss(double Kl, double Agreement);

[JsonSerializable(typeof(SkipExample))]
internal sealed partial class SkipJsonContext : JsonSerializerContext;
