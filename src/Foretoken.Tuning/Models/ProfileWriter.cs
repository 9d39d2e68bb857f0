using System.Globalization;
using System.Runtime.InteropServices;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Skips;
using static Foretoken.Profiles.ProfileKeys;

namespace Foretoken.Tuning.Models;

/// <summary>Writes profiles, the GGUF files that <see cref="ProfileFile"/> reads.</summary>
/// <remarks>The same profile gives the same bytes. Thread-safe.</remarks>
internal static class ProfileWriter
{
    /// <summary>Writes a profile. It appears under its name only when it is complete.</summary>
    /// <param name="path">The file; an existing one is replaced.</param>
    /// <param name="profile">The profile.</param>
    /// <exception cref="ArgumentException">The profile contradicts itself; the message says where.</exception>
    /// <exception cref="IOException">The file could not be written.</exception>
    public static void Write(string path, ModelProfile profile)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(profile);
        if (ProfileProblems.Find(profile) is { } problem)
        {
            throw new ArgumentException($"The profile cannot be written: {problem}", nameof(profile));
        }

        GgufWriter writer = Encode(profile, out Dictionary<string, ReadOnlyMemory<float>> weights);
        using MemoryStream content = new();
        writer.Write(content, WriteTensor);
        writer.Set(ChecksumKey, GgufValue.From(ProfileFile.Checksum(content.ToArray())));
        writer.WriteFile(path, WriteTensor);

        void WriteTensor(GgufTensor tensor, Stream output) =>
            output.Write(MemoryMarshal.AsBytes(weights[tensor.Name].Span));
    }

    private static GgufWriter Encode(ModelProfile profile, out Dictionary<string, ReadOnlyMemory<float>> weights)
    {
        GgufWriter writer = new();
        // first, so that its place is known
        writer.Set(ChecksumKey, GgufValue.From(NoChecksum));
        writer.Set("general.architecture", GgufValue.From(FormatArchitecture));
        writer.Set(VersionKey, GgufValue.From((uint)FormatVersion));
        writer.Set(
            FeaturesKey,
            // a build that does not know all of them shall refuse the profile, not use a part of it
            GgufValue.From(
                profile.Predictors.Any(predictor => !predictor.MatchWeights.IsEmpty)
                    ? FeaturesWithMatches
                    : AttentionFeatures.Definition
            )
        );
        writer.Set(FingerprintKey, GgufValue.From(profile.Fingerprint));
        writer.Set(ModelNameKey, GgufValue.From(profile.ModelName));
        writer.Set(LayerCountKey, GgufValue.From(profile.LayerCount));
        writer.Set(HeadCountKey, GgufValue.From(profile.HeadCount));
        writer.Set(EmbeddingSizeKey, GgufValue.From(profile.EmbeddingSize));

        ProfileOrigin origin = profile.Origin;
        writer.Set(CreatedAtKey, GgufValue.From(origin.CreatedAt.ToString("O", CultureInfo.InvariantCulture)));
        writer.Set(PromptsKey, GgufValue.From(origin.Prompts));
        writer.Set(HeldOutPromptsKey, GgufValue.From(origin.HeldOutPrompts));
        writer.Set(PromptTokensKey, GgufValue.From(origin.PromptTokens));
        writer.Set(SeedKey, GgufValue.From(origin.Seed));
        writer.Set(DescriptionKey, GgufValue.From(origin.Description));

        IReadOnlyList<ImportancePredictor> predictors = profile.Predictors;
        writer.Set(BoundariesKey, GgufValue.FromArray<int>([.. predictors.Select(p => p.Layer)]));
        // NaN where none was learned
        writer.Set(ThresholdsKey, GgufValue.FromArray<float>([.. predictors.Select(p => p.Threshold ?? float.NaN)]));
        writer.Set(CorrelationsKey, GgufValue.FromArray<double>([.. predictors.Select(p => p.Correlation)]));

        writer.Set(ScheduleCountKey, GgufValue.From(profile.Schedules.Count));
        for (int i = 0; i < profile.Schedules.Count; i++)
        {
            PrefillSchedule schedule = profile.Schedules[i];
            writer.Set(DepthsKey(i), GgufValue.FromArray<double>([.. schedule.Depths]));
            writer.Set(
                RetentionsKey(i),
                GgufValue.FromArray<double>([.. schedule.Waypoints.SelectMany(waypoint => waypoint)])
            );
            if (schedule.Losses is { } losses)
            {
                writer.Set(LossesKey(i), GgufValue.FromArray<double>([.. losses]));
            }
        }

        IReadOnlyList<ProfileQuality> quality = profile.Quality;
        PlanBoundary[] boundaries = [.. quality.SelectMany(q => q.Boundaries)];
        writer.Set(QualityBoundaryCountsKey, GgufValue.FromArray<int>([.. quality.Select(q => q.Boundaries.Count)]));
        writer.Set(QualityLayersKey, GgufValue.FromArray<int>([.. boundaries.Select(b => b.Layer)]));
        writer.Set(QualityRetentionsKey, GgufValue.FromArray<double>([.. boundaries.Select(b => b.Retention)]));
        writer.Set(QualityMinRetentionsKey, GgufValue.FromArray<double>([.. boundaries.Select(b => b.MinRetention)]));
        writer.Set(QualityKlKey, GgufValue.FromArray<double>([.. quality.Select(q => q.KlDivergence)]));
        writer.Set(QualityAgreementKey, GgufValue.FromArray<double>([.. quality.Select(q => q.Agreement)]));
        writer.Set(QualityAnsweredKey, GgufValue.FromArray<int>([.. quality.Select(q => q.Answered)]));
        writer.Set(
            QualityAnsweredByFullKey,
            GgufValue.FromArray<int>([.. quality.Select(q => q.AnsweredByFullPrefill)])
        );
        writer.Set(QualityKeptShareKey, GgufValue.FromArray<double>([.. quality.Select(q => q.KeptShare)]));

        weights = new(StringComparer.Ordinal);
        EncodeSkips(profile, writer, weights);
        foreach (ImportancePredictor predictor in predictors)
        {
            if (!predictor.AttentionWeights.IsEmpty)
            {
                string name = AttentionTensor(predictor.Layer);
                writer.AddTensor(
                    name,
                    GgufTensorType.F32,
                    profile.HeadCount,
                    AttentionFeatures.PoolCount,
                    AttentionFeatures.SourceCount,
                    predictor.Layer
                );
                weights.Add(name, predictor.AttentionWeights);
            }

            if (!predictor.MatchWeights.IsEmpty)
            {
                string name = MatchTensor(predictor.Layer);
                writer.AddTensor(name, GgufTensorType.F32, AttentionFeatures.PoolCount, MatchFeatures.SourceCount);
                weights.Add(name, predictor.MatchWeights);
            }

            if (!predictor.ResidualWeights.IsEmpty)
            {
                string name = ResidualTensor(predictor.Layer);
                writer.AddTensor(name, GgufTensorType.F32, profile.EmbeddingSize);
                weights.Add(name, predictor.ResidualWeights);
            }

            if (predictor.Network is { } network)
            {
                string name = NetworkTensor(predictor.Layer);
                writer.AddTensor(name, GgufTensorType.F32, network.Weights.Length);
                weights.Add(name, network.Weights);
            }
        }

        return writer;
    }

    // a profile without skips has none of these keys, so that it is the same file as before there were any
    private static void EncodeSkips(
        ModelProfile profile,
        GgufWriter writer,
        Dictionary<string, ReadOnlyMemory<float>> weights
    )
    {
        if (profile.Routers.Count > 0)
        {
            writer.Set(RouterCountKey, GgufValue.From(profile.Routers.Count));
        }

        for (int i = 0; i < profile.Routers.Count; i++)
        {
            SkipRouter router = profile.Routers[i];
            SkipRouting routing = router.Routing;
            writer.Set(
                RouterRoutingKey(i),
                GgufValue.FromArray<int>([routing.Layer, routing.Count, (int)routing.Part])
            );
            writer.Set(RouterLayersKey(i), GgufValue.FromArray<int>([.. router.Layers]));
            writer.Set(RouterBiasesKey(i), GgufValue.FromArray<float>(router.Biases.Span));
            // the logits of such routers are their biases, with the zeros and without
            if (router.Weights.Span.ContainsAnyExcept(0f))
            {
                writer.AddTensor(RouterTensor(i), GgufTensorType.F32, profile.EmbeddingSize, router.Layers.Count);
                weights.Add(RouterTensor(i), router.Weights);
            }
        }

        IReadOnlyList<ProfileAdapter> adapters = profile.SkipAdapters;
        if (adapters.Count > 0)
        {
            writer.Set(SkipAdapterNamesKey, GgufValue.FromStrings([.. adapters.Select(a => a.FileName)]));
            writer.Set(SkipAdapterFingerprintsKey, GgufValue.FromStrings([.. adapters.Select(a => a.Fingerprint)]));
            writer.Set(SkipAdapterScalesKey, GgufValue.FromArray<float>([.. adapters.Select(a => a.Scale)]));
        }

        IReadOnlyList<ProfileSkipQuality> quality = profile.SkipQuality;
        if (quality.Count == 0)
        {
            return;
        }

        LayerSkip[] skips = [.. quality.SelectMany(q => q.Skips)];
        writer.Set(SkipCountsKey, GgufValue.FromArray<int>([.. quality.Select(q => q.Skips.Count)]));
        writer.Set(SkipLayersKey, GgufValue.FromArray<int>([.. skips.Select(skip => skip.Layer)]));
        writer.Set(SkipPartsKey, GgufValue.FromArray<int>([.. skips.Select(skip => (int)skip.Part)]));
        // 0 where the set is the same for every prompt: in front of layer 0 nothing can be chosen
        writer.Set(SkipRoutingLayersKey, GgufValue.FromArray<int>([.. quality.Select(q => q.Routing?.Layer ?? 0)]));
        writer.Set(SkipRoutingCountsKey, GgufValue.FromArray<int>([.. quality.Select(q => q.Routing?.Count ?? 0)]));
        writer.Set(
            SkipRoutingPartsKey,
            GgufValue.FromArray<int>([.. quality.Select(q => (int)(q.Routing?.Part ?? LayerPart.Block))])
        );
        writer.Set(SkipKlKey, GgufValue.FromArray<double>([.. quality.Select(q => q.KlDivergence)]));
        writer.Set(SkipAgreementKey, GgufValue.FromArray<double>([.. quality.Select(q => q.Agreement)]));
    }
}
