using System.Globalization;
using System.Runtime.InteropServices;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Skips;
using static Foretoken.Profiles.ProfileKeys;

namespace Foretoken.Profiles;

/// <summary>A profile from the parts of its file.</summary>
internal static class ProfileDecoder
{
    internal static ModelProfile Decode(GgufFile header, byte[] bytes)
    {
        int[] layers = Array<int>(header, BoundariesKey);
        float[] thresholds = Array<float>(header, ThresholdsKey);
        double[] correlations = Array<double>(header, CorrelationsKey);
        int scheduleCount = Int(header, ScheduleCountKey);
        if (scheduleCount < 0)
        {
            throw new FormatException($"There cannot be {scheduleCount} schedules.");
        }

        List<PrefillSchedule> schedules = [];
        for (int i = 0; i < scheduleCount; i++)
        {
            double[] depths = Array<double>(header, DepthsKey(i));
            schedules.Add(
                new PrefillSchedule(
                    depths,
                    [.. Array<double>(header, RetentionsKey(i)).Chunk(depths.Length)],
                    header.TryGetValue(LossesKey(i), out GgufValue? losses) ? losses.GetArray<double>() : null
                )
            );
        }

        int embeddingSize = Int(header, EmbeddingSizeKey);
        return new ModelProfile
        {
            Fingerprint = Text(header, FingerprintKey),
            ModelName = Text(header, ModelNameKey),
            LayerCount = Int(header, LayerCountKey),
            HeadCount = Int(header, HeadCountKey),
            EmbeddingSize = embeddingSize,
            Origin = new ProfileOrigin(
                DateTimeOffset.ParseExact(
                    Text(header, CreatedAtKey),
                    "O",
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.RoundtripKind
                ),
                Int(header, PromptsKey),
                Int(header, HeldOutPromptsKey),
                Int(header, PromptTokensKey),
                Int(header, SeedKey),
                Text(header, DescriptionKey)
            ),
            Predictors =
            [
                .. layers.Select(
                    (layer, i) =>
                        new ImportancePredictor(
                            layer,
                            Weights(header, bytes, AttentionTensor(layer)),
                            Weights(header, bytes, ResidualTensor(layer)),
                            float.IsNaN(At(thresholds, i, ThresholdsKey)) ? null : thresholds[i],
                            At(correlations, i, CorrelationsKey)
                        )
                        {
                            MatchWeights = Weights(header, bytes, MatchTensor(layer)),
                            Network = DecodeNetwork(header, bytes, NetworkTensor(layer), embeddingSize),
                        }
                ),
            ],
            Schedules = [.. schedules],
            Quality = DecodeQuality(header),
            Routers = DecodeRouters(header, bytes),
            SkipQuality = DecodeSkipQuality(header),
            SkipAdapters = DecodeSkipAdapters(header),
        };
    }

    private static ResidualNetwork? DecodeNetwork(GgufFile header, byte[] bytes, string name, int embeddingSize)
    {
        ReadOnlyMemory<float> weights = Weights(header, bytes, name);
        try
        {
            return weights.IsEmpty ? null : ResidualNetwork.FromWeights(embeddingSize, weights.Span);
        }
        catch (ArgumentException e)
        {
            throw new FormatException($"Tensor '{name}' is no network. {e.Message}", e);
        }
    }

    private static SkipRouter[] DecodeRouters(GgufFile header, byte[] bytes)
    {
        if (!header.TryGetValue(RouterCountKey, out _))
        {
            return [];
        }

        int count = Int(header, RouterCountKey);
        if (count < 0)
        {
            throw new FormatException($"There cannot be {count} routers.");
        }

        List<SkipRouter> routers = [];
        for (int i = 0; i < count; i++)
        {
            int[] routing = Array<int>(header, RouterRoutingKey(i));
            routers.Add(
                new SkipRouter(
                    new SkipRouting(
                        At(routing, 0, RouterRoutingKey(i)),
                        At(routing, 1, RouterRoutingKey(i)),
                        (LayerPart)At(routing, 2, RouterRoutingKey(i))
                    ),
                    Array<int>(header, RouterLayersKey(i)),
                    Weights(header, bytes, RouterTensor(i)),
                    Array<float>(header, RouterBiasesKey(i))
                )
            );
        }

        return [.. routers];
    }

    private static ProfileAdapter[] DecodeSkipAdapters(GgufFile header)
    {
        if (!header.TryGetValue(SkipAdapterNamesKey, out GgufValue? names))
        {
            return [];
        }

        string[] fingerprints = Value(header, SkipAdapterFingerprintsKey).GetStrings();
        float[] scales = Array<float>(header, SkipAdapterScalesKey);
        return
        [
            .. names
                .GetStrings()
                .Select(
                    (name, i) =>
                        new ProfileAdapter(
                            name,
                            At(fingerprints, i, SkipAdapterFingerprintsKey),
                            At(scales, i, SkipAdapterScalesKey)
                        )
                ),
        ];
    }

    private static ProfileSkipQuality[] DecodeSkipQuality(GgufFile header)
    {
        if (!header.TryGetValue(SkipCountsKey, out _))
        {
            return [];
        }

        int[] counts = Array<int>(header, SkipCountsKey);
        int[] layers = Array<int>(header, SkipLayersKey);
        int[] parts = Array<int>(header, SkipPartsKey);
        int[] routingLayers = Array<int>(header, SkipRoutingLayersKey);
        int[] routingCounts = Array<int>(header, SkipRoutingCountsKey);
        int[] routingParts = Array<int>(header, SkipRoutingPartsKey);
        double[] kl = Array<double>(header, SkipKlKey);
        double[] agreement = Array<double>(header, SkipAgreementKey);
        ProfileSkipQuality[] quality = new ProfileSkipQuality[counts.Length];
        int next = 0;
        for (int i = 0; i < quality.Length; i++)
        {
            int first = next;
            next = checked(first + counts[i]);
            int routingLayer = At(routingLayers, i, SkipRoutingLayersKey);
            quality[i] = new ProfileSkipQuality(
                [
                    .. Enumerable
                        .Range(first, counts[i])
                        .Select(at => new LayerSkip(
                            At(layers, at, SkipLayersKey),
                            (LayerPart)At(parts, at, SkipPartsKey)
                        )),
                ],
                routingLayer == 0
                    ? null
                    : new SkipRouting(
                        routingLayer,
                        At(routingCounts, i, SkipRoutingCountsKey),
                        (LayerPart)At(routingParts, i, SkipRoutingPartsKey)
                    ),
                At(kl, i, SkipKlKey),
                At(agreement, i, SkipAgreementKey)
            );
        }

        return quality;
    }

    private static ProfileQuality[] DecodeQuality(GgufFile header)
    {
        int[] counts = Array<int>(header, QualityBoundaryCountsKey);
        int[] layers = Array<int>(header, QualityLayersKey);
        double[] retentions = Array<double>(header, QualityRetentionsKey);
        double[] minRetentions = Array<double>(header, QualityMinRetentionsKey);
        double[] kl = Array<double>(header, QualityKlKey);
        double[] agreement = Array<double>(header, QualityAgreementKey);
        int[] answered = Array<int>(header, QualityAnsweredKey);
        int[] answeredByFull = Array<int>(header, QualityAnsweredByFullKey);
        double[] keptShare = Array<double>(header, QualityKeptShareKey);
        ProfileQuality[] quality = new ProfileQuality[counts.Length];
        int next = 0;
        for (int i = 0; i < quality.Length; i++)
        {
            int first = next;
            next = checked(first + counts[i]);
            quality[i] = new ProfileQuality(
                [
                    .. Enumerable
                        .Range(first, counts[i])
                        .Select(at => new PlanBoundary(
                            At(layers, at, QualityLayersKey),
                            At(retentions, at, QualityRetentionsKey)
                        )
                        {
                            MinRetention = At(minRetentions, at, QualityMinRetentionsKey),
                        }),
                ],
                At(kl, i, QualityKlKey),
                At(agreement, i, QualityAgreementKey),
                At(answered, i, QualityAnsweredKey),
                At(answeredByFull, i, QualityAnsweredByFullKey),
                At(keptShare, i, QualityKeptShareKey)
            );
        }

        return quality;
    }

    private static ReadOnlyMemory<float> Weights(GgufFile header, byte[] bytes, string name)
    {
        GgufTensor? tensor = header.Tensors.FirstOrDefault(tensor => tensor.Name == name);
        if (tensor is null)
        {
            return default;
        }

        return tensor.Type == GgufTensorType.F32
            ? MemoryMarshal
                .Cast<byte, float>(
                    bytes.AsSpan(checked((int)(header.DataOffset + tensor.Offset)), checked((int)tensor.ByteLength))
                )
                .ToArray()
            : throw new FormatException($"Tensor {tensor} is not of type f32.");
    }

    private static GgufValue Value(GgufFile header, string key) =>
        header.TryGetValue(key, out GgufValue? value) ? value : throw new FormatException($"Its header lacks '{key}'.");

    private static T[] Array<T>(GgufFile header, string key)
        where T : unmanaged => Value(header, key).GetArray<T>();

    private static int Int(GgufFile header, string key) =>
        Value(header, key).TryGetInt64(out long value)
            ? checked((int)value)
            : throw new FormatException($"'{key}' is not an integer.");

    private static string Text(GgufFile header, string key) =>
        Value(header, key).TryGetString(out string? text) ? text : throw new FormatException($"'{key}' is not text.");

    private static T At<T>(T[] values, int index, string key) =>
        (uint)index < (uint)values.Length
            ? values[index]
            : throw new FormatException($"'{key}' has {values.Length} elements; there must be more.");
}
