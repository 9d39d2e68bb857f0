using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Skips;

namespace Foretoken.Tests.Profiles;

/// <summary>Profiles made by hand.</summary>
internal static class TestProfiles
{
    /// <summary>A profile of a model, with weights of no use.</summary>
    public static ModelProfile For(string modelPath, params ReadOnlySpan<int> boundaries)
    {
        ModelFileInfo model = ModelFileCheck.Check(modelPath);
        ModelShape shape = model.Shape!;
        Random random = new(1);
        List<ImportancePredictor> predictors = [];
        foreach (int layer in boundaries)
        {
            predictors.Add(
                new ImportancePredictor(
                    layer,
                    Weights(random, layer * AttentionFeatures.CountPerLayer(shape.HeadCount)),
                    default,
                    null,
                    0.5
                )
            );
        }

        return new ModelProfile
        {
            Fingerprint = ModelFingerprint.Compute(model),
            ModelName = model.Header.GetString("general.name") ?? "no name",
            LayerCount = shape.LayerCount,
            HeadCount = shape.HeadCount,
            EmbeddingSize = shape.EmbeddingSize,
            Origin = new ProfileOrigin(
                new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
                8,
                4,
                1024,
                1,
                "made by hand"
            ),
            Predictors = predictors,
        };
    }

    /// <summary>A small profile that uses everything a profile can hold, of no model.</summary>
    public static ModelProfile Small { get; } =
        new()
        {
            Fingerprint = new string('a', 64),
            ModelName = "Småll",
            LayerCount = 4,
            HeadCount = 2,
            EmbeddingSize = 8,
            Origin = new ProfileOrigin(
                new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.FromHours(2)),
                80,
                16,
                1024,
                7,
                "made by hand"
            ),
            Predictors =
            [
                new ImportancePredictor(1, Weights(new Random(1), 12), default, null, double.NaN),
                new ImportancePredictor(2, Weights(new Random(2), 24), Weights(new Random(3), 8), -0.25f, 0.8)
                {
                    MatchWeights = Weights(new Random(5), MatchFeatures.Count),
                },
                new ImportancePredictor(3, default, Weights(new Random(4), 8), 0.5f, -0.1)
                {
                    Network = Network(new Random(9), 8, 2),
                },
            ],
            Schedules =
            [
                new PrefillSchedule(
                    [0.25, 0.5],
                    [
                        [0.5, 0.5],
                        [0.4, 0.2],
                    ],
                    [0.1, 0.3]
                ),
                new PrefillSchedule(
                    [0.3],
                    [
                        [0.5],
                    ]
                ),
            ],
            Quality =
            [
                new ProfileQuality([new PlanBoundary(1, 0.5)], 0.1, 0.9, 7, 8, 0.6),
                new ProfileQuality([new PlanBoundary(1, 0.5), new PlanBoundary(3, 0.25)], 0.2, 0.8, 6, 8, 0.5),
            ],
            Routers =
            [
                new SkipRouter(
                    new SkipRouting(1, 1, LayerPart.Block),
                    [1, 2],
                    Weights(new Random(5), 16),
                    Weights(new Random(6), 2)
                ),
                new SkipRouter(
                    new SkipRouting(1, 2, LayerPart.Attention),
                    [1, 2, 3],
                    Weights(new Random(7), 24),
                    Weights(new Random(8), 3)
                ),
                new SkipRouter(new SkipRouting(2, 1, LayerPart.FeedForward), [2, 3], default, (float[])[1, -1]),
            ],
            SkipQuality =
            [
                new ProfileSkipQuality([new LayerSkip(2)], null, 0.15, 0.85),
                new ProfileSkipQuality([], new SkipRouting(1, 1, LayerPart.Block), 0.1, 0.9),
                new ProfileSkipQuality(
                    [new LayerSkip(1, LayerPart.FeedForward), new LayerSkip(3, LayerPart.Attention)],
                    null,
                    0.2,
                    0.8
                ),
            ],
            SkipAdapters =
            [
                new ProfileAdapter("töne.gguf", new string('b', 64), 0.3f),
                new ProfileAdapter("recover.gguf", new string('c', 64), -1),
            ],
        };

    public static ResidualNetwork Network(Random random, int width, int hidden) =>
        new(width, hidden, Weights(random, ResidualNetwork.WeightCount(width, hidden)));

    public static float[] Weights(Random random, int count)
    {
        float[] weights = new float[count];
        for (int i = 0; i < count; i++)
        {
            weights[i] = (float)((2 * random.NextDouble()) - 1);
        }

        return weights;
    }

    /// <summary>Equal in everything that a profile holds, bit for bit.</summary>
    public static void AssertEqual(ModelProfile expected, ModelProfile actual)
    {
        Assert.Equal(Facts(expected), Facts(actual));
        Assert.Equal(expected.Origin.CreatedAt.Offset, actual.Origin.CreatedAt.Offset);
        Assert.Equal(expected.Predictors.Select(Bits), actual.Predictors.Select(Bits));
        Assert.Equal(expected.Schedules.Select(Bits), actual.Schedules.Select(Bits));
        Assert.Equal(expected.Quality.Select(Bits), actual.Quality.Select(Bits));
        Assert.Equal(expected.Routers.Select(Bits), actual.Routers.Select(Bits));
        Assert.Equal(expected.SkipQuality.Select(Bits), actual.SkipQuality.Select(Bits));
        Assert.Equal(expected.SkipAdapters, actual.SkipAdapters);

        static object Facts(ModelProfile p) =>
            (p.Fingerprint, p.ModelName, p.LayerCount, p.HeadCount, p.EmbeddingSize, p.Origin);
    }

    private static string Bits(ImportancePredictor predictor) =>
        string.Join(
            ' ',
            [
                predictor.Layer,
                Hex(predictor.AttentionWeights.Span),
                Hex(predictor.ResidualWeights.Span),
                predictor.Network is { } network ? $"{network.HiddenSize} {Hex(network.Weights.Span)}" : "none",
                predictor.Threshold is { } threshold ? BitConverter.SingleToInt32Bits(threshold) : "none",
                BitConverter.DoubleToInt64Bits(predictor.Correlation),
            ]
        );

    private static string Bits(PrefillSchedule schedule) =>
        string.Join(
            ' ',
            [
                Hex<double>([.. schedule.Depths]),
                schedule.Waypoints.Count,
                Hex<double>([.. schedule.Waypoints.SelectMany(waypoint => waypoint)]),
                schedule.Losses is { } losses ? Hex<double>([.. losses]) : "none",
            ]
        );

    private static string Bits(ProfileQuality quality) =>
        string.Join(
            ' ',
            [
                string.Join(',', quality.Boundaries.Select(boundary => boundary.Layer)),
                Hex<double>([.. quality.Boundaries.Select(boundary => boundary.Retention)]),
                Hex<double>([.. quality.Boundaries.Select(boundary => boundary.MinRetention)]),
                Hex<double>([quality.KlDivergence, quality.Agreement, quality.KeptShare]),
                quality.Answered,
                quality.AnsweredByFullPrefill,
            ]
        );

    private static string Bits(SkipRouter router) =>
        string.Join(
            ' ',
            [router.Routing, string.Join(',', router.Layers), Hex(router.Weights.Span), Hex(router.Biases.Span)]
        );

    private static string Bits(ProfileSkipQuality quality) =>
        string.Join(
            ' ',
            [
                string.Join(',', quality.Skips),
                quality.Routing is { } routing ? routing : "static",
                Hex<double>([quality.KlDivergence, quality.Agreement]),
            ]
        );

    private static string Hex<T>(ReadOnlySpan<T> values)
        where T : unmanaged => Convert.ToHexString(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values));
}
