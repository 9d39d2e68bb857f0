using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Skips;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Profiles;

public class ProfileFileTests
{
    private static readonly Gen<double> AnyShare = Gen.Choose(1, 1_000_000).Select(x => x / 1_000_001.0);

    // every finite number, the smallest and negative zero among them
    private static readonly Gen<float> AnyWeight = Gen.Choose(int.MinValue, int.MaxValue)
        .Select(BitConverter.Int32BitsToSingle)
        .Where(float.IsFinite);

    private static readonly Gen<string> AnyText = Gen.Elements("", "a", "SmolLM2-135M", "Grüße, 世界 👋", "two\nlines");

    private static readonly Gen<ModelProfile> AnyProfile =
        from layers in Gen.Choose(2, 6)
        from heads in Gen.Choose(1, 4)
        from width in Gen.Choose(1, 16)
        from text in AnyText
        from numbers in Gen.Choose(0, int.MaxValue).ArrayOf(4)
        from ticks in Gen.Choose(0, int.MaxValue)
        from hours in Gen.Choose(-14, 14)
        from boundaries in Gen.Shuffle(Enumerable.Range(1, layers - 1).ToArray())
        from count in Gen.Choose(1, layers - 1)
        from predictors in Gen.CollectToArray(boundaries.Take(count), layer => AnyPredictor(layer, heads, width))
        from schedules in AnySchedule().ArrayOf().Resize(3)
        from quality in AnyQuality(layers).ArrayOf().Resize(4)
        select new ModelProfile
        {
            Fingerprint = new string('f', 64),
            ModelName = text,
            LayerCount = layers,
            HeadCount = heads,
            EmbeddingSize = width,
            Origin = new ProfileOrigin(
                new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.FromHours(hours)).AddTicks(ticks),
                numbers[0],
                numbers[1],
                numbers[2],
                -numbers[3],
                text
            ),
            Predictors = predictors,
            // of plans below the lowest predictor nothing can be known
            Schedules =
            [
                .. schedules.Where(schedule =>
                    Math.Clamp((int)Math.Round(schedule.Depths[0] * layers), 1, layers - 1)
                    >= predictors.Min(predictor => predictor.Layer)
                ),
            ],
            Quality = quality,
        };

    private static ModelProfile WithoutSkips { get; } =
        TestProfiles.Small with
        {
            Routers = [],
            SkipQuality = [],
            SkipAdapters = [],
        };

    [Fact]
    public void Profile_survives_a_round_trip_bit_for_bit()
    {
        using TemporaryFolder folder = new();
        Check.One(
            Config.QuickThrowOnFailure,
            Prop.ForAll(
                AnyProfile.ToArbitrary(),
                profile =>
                {
                    ProfileWriter.Write(folder["a.foretoken.gguf"], profile);
                    ModelProfile read = ProfileFile.Read(folder["a.foretoken.gguf"]);
                    TestProfiles.AssertEqual(profile, read);

                    ProfileWriter.Write(folder["b.foretoken.gguf"], read);
                    Assert.Equal(
                        File.ReadAllBytes(folder["a.foretoken.gguf"]),
                        File.ReadAllBytes(folder["b.foretoken.gguf"])
                    );
                }
            )
        );
    }

    [Fact]
    public void Routers_and_what_skips_lose_survive_a_round_trip_bit_for_bit()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["a.gguf"], TestProfiles.Small);
        ModelProfile read = ProfileFile.Read(folder["a.gguf"]);
        TestProfiles.AssertEqual(TestProfiles.Small, read);

        ProfileWriter.Write(folder["b.gguf"], read);
        Assert.Equal(File.ReadAllBytes(folder["a.gguf"]), File.ReadAllBytes(folder["b.gguf"]));
        Assert.Equal(
            [(2, 0.15), (1, 0.1), (1, 0.2)],
            read.GetPlannerOptions(read.SkipAdapters).Skips.Select(option => (option.LowestLayer, option.Loss))
        );
        Assert.NotNull(read.CreateRouter());
    }

    [Fact]
    public void Skips_are_for_exactly_the_adapters_that_they_were_learned_with()
    {
        ModelProfile profile = TestProfiles.Small;
        ProfileAdapter[] learned = [.. profile.SkipAdapters];
        Assert.Null(profile.FindSkipMismatch(learned));
        // neither their order nor their files' names matter
        Assert.Null(profile.FindSkipMismatch([learned[1], learned[0] with { FileName = "renamed.gguf" }]));
        Assert.Equal(3, profile.GetPlannerOptions(learned).Skips.Count);
        foreach (
            ProfileAdapter[] others in (ProfileAdapter[][])
                [
                    [],
                    [learned[0]],
                    [learned[0], learned[1] with { Scale = 1 }],
                    [learned[0], learned[1] with { Fingerprint = new string('d', 64) }],
                    [.. learned, learned[0]],
                ]
        )
        {
            Assert.Empty(profile.GetPlannerOptions(others).Skips);
            Assert.Equal(profile.Schedules, profile.GetPlannerOptions(others).Schedules);
            string mismatch = profile.FindSkipMismatch(others)!;
            Assert.Contains("'töne.gguf' (SHA-256 bbbbbbbbbbbb) at scale 0.3", mismatch, StringComparison.Ordinal);
            Assert.Contains("--lora FILE=SCALE", mismatch, StringComparison.Ordinal);
        }

        Assert.Empty(profile.PlannerOptions.Skips);
        ModelProfile plain = profile with { SkipAdapters = [] };
        Assert.Equal(3, plain.PlannerOptions.Skips.Count);
        Assert.Contains("learned with no LoRA adapter", plain.FindSkipMismatch(learned)!, StringComparison.Ordinal);
        Assert.Null(WithoutSkips.FindSkipMismatch(learned));
    }

    [Fact]
    public void Adapters_of_skips_that_cannot_be_are_refused()
    {
        ProfileAdapter adapter = TestProfiles.Small.SkipAdapters[0];
        AssertRefusedAdapter(adapter with { FileName = "" });
        AssertRefusedAdapter(adapter with { Fingerprint = new string('b', 63) });
        AssertRefusedAdapter(adapter with { Fingerprint = new string('x', 64) });
        AssertRefusedAdapter(adapter with { Scale = 0 });
        AssertRefusedAdapter(adapter with { Scale = float.NaN });
        AssertRefused(WithoutSkips with { SkipAdapters = [adapter] }, "no skips");

        static void AssertRefusedAdapter(ProfileAdapter adapter) =>
            AssertRefused(TestProfiles.Small with { SkipAdapters = [adapter] }, "cannot be");
    }

    [Fact]
    public void Routers_that_learned_nothing_from_prompts_are_stored_without_weights_and_choose_the_same()
    {
        using TemporaryFolder folder = new();
        SkipRouting two = new(1, 2, LayerPart.Attention);
        SkipRouter zeros = new(two, [1, 2, 3], new float[24], (float[])[0, 1, -1]);
        SkipRouter learned = zeros with
        {
            Routing = two with { Count = 1 },
            Weights = TestProfiles.Weights(new(1), 24),
        };
        ProfileWriter.Write(folder["a.gguf"], TestProfiles.Small with { Routers = [zeros, learned], SkipQuality = [] });
        ModelProfile read = ProfileFile.Read(folder["a.gguf"]);

        Assert.Equal(
            "router.1.weights",
            Assert.Single(GgufReader.Read(folder["a.gguf"]).Tensors, tensor => tensor.Name.StartsWith('r')).Name
        );
        Assert.Equal(learned.Weights.ToArray(), read.Routers[1].Weights.ToArray());
        Random random = new(2);
        for (int i = 0; i < 20; i++)
        {
            float[] residual = TestProfiles.Weights(random, 3 * 8);
            Assert.Equal(
                new LayerRouters([zeros]).Route(two, residual, 3),
                new LayerRouters([read.Routers[0]]).Route(two, residual, 3)
            );
        }
    }

    [Fact]
    public void A_profile_without_skips_has_no_router_and_nothing_to_skip()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["a.gguf"], WithoutSkips);
        ModelProfile read = ProfileFile.Read(folder["a.gguf"]);

        Assert.Null(read.CreateRouter());
        Assert.Empty(read.PlannerOptions.Skips);
        Assert.DoesNotContain(
            GgufReader.Read(folder["a.gguf"]).Metadata,
            entry =>
                entry.Key.Contains("router", StringComparison.Ordinal)
                || entry.Key.Contains("skips", StringComparison.Ordinal)
        );
    }

    [Fact]
    public void A_profile_without_networks_has_no_trace_of_them()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(
            folder["a.gguf"],
            TestProfiles.Small with
            {
                Predictors = [.. TestProfiles.Small.Predictors.Select(one => one with { Network = null })],
            }
        );

        Assert.All(ProfileFile.Read(folder["a.gguf"]).Predictors, one => Assert.Null(one.Network));
        Assert.DoesNotContain(
            GgufReader.Read(folder["a.gguf"]).Tensors,
            tensor => tensor.Name.Contains("network", StringComparison.Ordinal)
        );
    }

    [Fact]
    public void A_network_fits_the_model_and_is_finite()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["profile.gguf"], TestProfiles.Small);
        Rewrite(folder["profile.gguf"], folder["wide.gguf"], "foretoken.model.embedding_size", GgufValue.From(9));
        Assert.Contains("'boundary.3.network' is no network", Refusal(folder["wide.gguf"]), StringComparison.Ordinal);
        Rewrite(folder["profile.gguf"], folder["none.gguf"], "foretoken.model.embedding_size", GgufValue.From(-2));
        Assert.Contains("'boundary.3.network' is no network", Refusal(folder["none.gguf"]), StringComparison.Ordinal);
        Rewrite(
            folder["profile.gguf"],
            folder["nan.gguf"],
            "foretoken.model.embedding_size",
            GgufValue.From(8),
            nanIn: "boundary.3.network"
        );
        Assert.Contains("finite", Refusal(folder["nan.gguf"]), StringComparison.Ordinal);
        AssertRefused(
            new ImportancePredictor(1, default, default, null, 0)
            {
                Network = TestProfiles.Network(new Random(1), 7, 2),
            },
            "a residual stream of 7 numbers; the model's is 8 wide"
        );
    }

    [Fact]
    public void Routers_and_skips_fit_the_model()
    {
        SkipRouting one = new(1, 1, LayerPart.Block);
        AssertRefusedRouter(new SkipRouter(one, [1, 2], new float[15], new float[2]), "need 16 and 2");
        AssertRefusedRouter(new SkipRouter(one, [1, 2], new float[16], new float[3]), "need 16 and 2");
        AssertRefusedRouter(new SkipRouter(one, [2, 1], new float[16], new float[2]), "not ascending");
        AssertRefusedRouter(new SkipRouter(one, [1, 3], new float[16], new float[2]), "can be skipped");
        AssertRefusedRouter(new SkipRouter(new(2, 1, LayerPart.Block), [1, 2], new float[16], new float[2]), "skipped");
        AssertRefusedRouter(new SkipRouter(one with { Count = 2 }, [1], new float[8], new float[1]), "only 1 layers");
        AssertRefusedRouter(new SkipRouter(one with { Count = 9 }, [1], new float[8], new float[1]), "cannot be");
        AssertRefusedRouter(new SkipRouter(one with { Part = (LayerPart)7 }, [1], new float[8], new float[1]), "part");
        float[] weights = new float[8];
        weights[3] = float.NaN;
        AssertRefusedRouter(new SkipRouter(one, [1], weights, new float[1]), "not a finite number");
        AssertRefusedRouter(
            new SkipRouter(one, [1], new float[8], (float[])[float.NegativeInfinity]),
            "not a finite number"
        );
        AssertRefused(
            TestProfiles.Small with
            {
                Routers = [TestProfiles.Small.Routers[0], TestProfiles.Small.Routers[0]],
            },
            "twice"
        );

        AssertRefusedSkips(new ProfileSkipQuality([new LayerSkip(3)], null, 0.1, 1), "cannot be");
        AssertRefusedSkips(new ProfileSkipQuality([], null, 0.1, 1), "cannot be");
        AssertRefusedSkips(new ProfileSkipQuality([new LayerSkip(2)], null, double.NaN, 1), "cannot be");
        AssertRefusedSkips(new ProfileSkipQuality([new LayerSkip(2)], null, 0.1, 1.1), "cannot be");
        AssertRefusedSkips(
            new ProfileSkipQuality([], new SkipRouting(1, 1, LayerPart.FeedForward), 0.1, 1),
            "no routers for that"
        );

        static void AssertRefusedRouter(SkipRouter router, string reason) =>
            AssertRefused(TestProfiles.Small with { Routers = [router], SkipQuality = [] }, reason);

        static void AssertRefusedSkips(ProfileSkipQuality quality, string reason) =>
            AssertRefused(TestProfiles.Small with { SkipQuality = [quality] }, reason);
    }

    [Fact]
    public void Every_flipped_byte_is_noticed()
    {
        using TemporaryFolder folder = new();
        byte[] bytes = Bytes(folder);
        Random random = new(1);
        for (int i = 0; i < bytes.Length; i++)
        {
            byte[] damaged = [.. bytes];
            damaged[i] ^= (byte)random.Next(1, 256);
            File.WriteAllBytes(folder["damaged.gguf"], damaged);
            ModelProfileException e = Assert.Throws<ModelProfileException>(() =>
                ProfileFile.Read(folder["damaged.gguf"])
            );
            Assert.Contains("damaged.gguf", e.Message, StringComparison.Ordinal);
            Assert.Contains("foretoken tune", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_missing_end_and_every_surplus_is_noticed()
    {
        using TemporaryFolder folder = new();
        byte[] bytes = Bytes(folder);
        for (int length = 0; length < bytes.Length; length += 7)
        {
            File.WriteAllBytes(folder["short.gguf"], bytes[..length]);
            Assert.Throws<ModelProfileException>(() => ProfileFile.Read(folder["short.gguf"]));
        }

        File.WriteAllBytes(folder["short.gguf"], bytes[..^1]);
        Assert.Throws<ModelProfileException>(() => ProfileFile.Read(folder["short.gguf"]));
        File.WriteAllBytes(folder["long.gguf"], [.. bytes, 0]);
        Assert.Throws<ModelProfileException>(() => ProfileFile.Read(folder["long.gguf"]));
    }

    [Fact]
    public void What_is_no_profile_is_named_so()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["text.gguf"], "This is a text, whatever its name says.");
        SyntheticModel.Write(folder["model.gguf"], TinyModel.Spec);

        Assert.Contains("begins with 'This'", Refusal(folder["text.gguf"]), StringComparison.Ordinal);
        Assert.Contains(
            "no profile (its architecture is 'llama')",
            Refusal(folder["model.gguf"]),
            StringComparison.Ordinal
        );
        Assert.Contains("there is no such file", Refusal(folder["none.gguf"]), StringComparison.Ordinal);
        Assert.Contains("could not be read", Refusal(folder[""]), StringComparison.Ordinal);
    }

    [Fact]
    public void Other_version_and_other_features_are_refused_with_advice()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["profile.gguf"], TestProfiles.Small);

        Rewrite(folder["profile.gguf"], folder["newer.gguf"], "foretoken.version", GgufValue.From(2u));
        Assert.Contains(
            "version 2; this build reads version 1",
            Refusal(folder["newer.gguf"]),
            StringComparison.Ordinal
        );
        Rewrite(folder["profile.gguf"], folder["other.gguf"], "foretoken.features", GgufValue.From("mean:4"));
        Assert.Contains("the features 'mean:4'", Refusal(folder["other.gguf"]), StringComparison.Ordinal);
    }

    [Fact]
    public void Only_a_profile_that_reads_the_tokens_says_so()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["with.gguf"], TestProfiles.Small);
        ProfileWriter.Write(
            folder["without.gguf"],
            TestProfiles.Small with
            {
                Predictors =
                [
                    .. TestProfiles.Small.Predictors.Select(predictor => predictor with { MatchWeights = default }),
                ],
            }
        );
        string without = GgufReader.Read(folder["without.gguf"]).GetString("foretoken.features")!;
        Assert.DoesNotContain("match", without, StringComparison.Ordinal);
        Assert.Equal($"{without};match:-32,128", GgufReader.Read(folder["with.gguf"]).GetString("foretoken.features"));
    }

    [Fact]
    public void Content_that_contradicts_itself_is_refused_though_its_checksum_fits()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["profile.gguf"], TestProfiles.Small);
        (string Key, GgufValue Value, string Reason)[] changes =
        [
            ("foretoken.model.head_count", GgufValue.From(3), "3 heads and 1 layers need 18"),
            ("foretoken.model.head_count", GgufValue.From("two"), "'foretoken.model.head_count' is not an integer"),
            ("foretoken.model.name", GgufValue.From(1), "'foretoken.model.name' is not text"),
            ("foretoken.boundaries", GgufValue.FromArray<int>([1, 2, 30]), "a boundary at layer 30"),
            ("foretoken.thresholds", GgufValue.FromArray<float>([1]), "'foretoken.thresholds' has 1 elements"),
            ("foretoken.quality.layers", GgufValue.FromArray<float>([1]), "an array of Int32"),
            ("foretoken.schedule.0.depths", GgufValue.FromArray<double>([0.5, 0.25]), "ascending"),
            ("foretoken.schedule_count", GgufValue.From(3), "lacks 'foretoken.schedule.2.depths'"),
            ("foretoken.schedule_count", GgufValue.From(int.MaxValue), "schedule"),
            ("foretoken.schedule_count", GgufValue.From(-1), "schedule"),
            ("foretoken.router_count", GgufValue.From(4), "lacks 'foretoken.router.3.layer_count_part'"),
            ("foretoken.router_count", GgufValue.From(-1), "router"),
            ("foretoken.router_count", GgufValue.From(0), "no routers for that"),
            ("foretoken.router.0.candidates", GgufValue.FromArray<int>([1, 2, 3]), "can be skipped"),
            ("foretoken.router.0.layer_count_part", GgufValue.FromArray<int>([1]), "has 1 elements"),
            ("foretoken.router.1.biases", GgufValue.FromArray<float>([0, 0, float.NaN]), "not a finite number"),
            ("foretoken.skips.counts", GgufValue.FromArray<int>([1, 0, 3]), "'foretoken.skips.layers' has 3 elements"),
            ("foretoken.skips.kl_divergence", GgufValue.FromArray<double>([0.1]), "has 1 elements"),
            ("foretoken.skips.adapter_names", GgufValue.From("tone.gguf"), "not an array of strings"),
            ("foretoken.skips.adapter_fingerprints", GgufValue.FromStrings(["b"]), "has 1 elements"),
            ("foretoken.skips.adapter_fingerprints", GgufValue.FromStrings(["b", "c"]), "adapter that cannot be"),
            ("foretoken.skips.adapter_scales", GgufValue.FromArray<float>([1, 0]), "adapter that cannot be"),
            ("foretoken.origin.created_at", GgufValue.From("yesterday"), "DateTime"),
        ];
        foreach ((string key, GgufValue value, string reason) in changes)
        {
            Rewrite(folder["profile.gguf"], folder["changed.gguf"], key, value);
            Assert.Contains(reason, Refusal(folder["changed.gguf"]), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Weights_and_thresholds_are_finite(float value)
    {
        float[] weights = TestProfiles.Weights(new Random(1), 12);
        weights[5] = value;
        AssertRefused(new ImportancePredictor(1, weights, default, null, 0), "not a finite number");
        weights[5] = 0;
        AssertRefused(new ImportancePredictor(1, weights, default, value, 0), "threshold");
        AssertRefused(
            new ImportancePredictor(1, default, new[] { 0, 0, 0, 0, 0, 0, 0, value }, null, 0),
            "not a finite number"
        );
        AssertRefused(
            new ImportancePredictor(1, default, default, null, 0) { MatchWeights = new[] { 0, 0, value, 0 } },
            "not a finite number"
        );
    }

    [Fact]
    public void Weights_fit_the_layers_heads_and_width_of_the_model()
    {
        AssertRefused(new ImportancePredictor(1, new float[11], default, null, 0), "2 heads and 1 layers need 12");
        AssertRefused(new ImportancePredictor(2, new float[12], default, null, 0), "2 heads and 2 layers need 24");
        AssertRefused(new ImportancePredictor(1, default, new float[7], null, 0), "8 wide");
        AssertRefused(new ImportancePredictor(1, default, default, null, 0), "no weights");
        AssertRefused(
            new ImportancePredictor(1, default, default, null, 0) { MatchWeights = new float[3] },
            "there are 4 such features"
        );
        AssertRefused(new ImportancePredictor(0, new float[12], default, null, 0), "1 to 3 are possible");
        AssertRefused(new ImportancePredictor(4, new float[48], default, null, 0), "1 to 3 are possible");
        AssertRefused(TestProfiles.Small with { Predictors = [] }, "no importance predictor");
        AssertRefused(
            TestProfiles.Small with
            {
                Predictors = [TestProfiles.Small.Predictors[0], TestProfiles.Small.Predictors[0]],
            },
            "two predictors for the boundary at layer 1"
        );
        AssertRefused(
            TestProfiles.Small with
            {
                Quality = [new ProfileQuality([new PlanBoundary(4, 0.5)], 0.1, 1, 1, 1, 0.5)],
            },
            "in front of layer 4"
        );
        AssertRefused(
            TestProfiles.Small with
            {
                Predictors = [TestProfiles.Small.Predictors[1]],
                Schedules =
                [
                    new PrefillSchedule(
                        [0.25],
                        [
                            [0.5],
                        ]
                    ),
                ],
            },
            "a boundary at layer 1; its lowest predictor is for layer 2"
        );
    }

    [Fact]
    public void Profile_lies_beside_its_model()
    {
        Assert.Equal("m/a.Q4_1.foretoken.gguf", ProfileFile.PathFor("m/a.Q4_1.gguf"));
        Assert.Equal("m/a.Q4_1.foretoken.gguf", ProfileFile.PathFor("m/a.Q4_1-00001-of-00003.gguf"));
        Assert.Equal("m/a.Q4_1.foretoken.gguf", ProfileFile.PathFor("m/a.Q4_1-00003-of-00003.gguf"));
        Assert.Equal("a.foretoken.gguf", ProfileFile.PathFor("a"));
    }

    [Fact]
    public void Profile_beside_its_model_is_found()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["model.gguf"], TinyModel.Spec);
        ModelFileInfo model = ModelFileCheck.Check(folder["model.gguf"]);
        Assert.Null(ProfileFile.Find(model));

        ModelProfile profile = TestProfiles.For(folder["model.gguf"], 1, 2);
        ProfileWriter.Write(ProfileFile.PathFor(folder["model.gguf"]), profile);
        TestProfiles.AssertEqual(profile, ProfileFile.Find(model)!);
        ProfileWriter.Write(folder["elsewhere.gguf"], profile);
        TestProfiles.AssertEqual(profile, ProfileFile.Find(model, folder["elsewhere.gguf"])!);
    }

    [Fact]
    public void Profile_of_another_model_is_refused_with_both_names()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["mine.gguf"], TinyModel.Spec);
        SyntheticModel.Write(folder["yours.gguf"], TinyModel.Spec with { Name = "your model", Seed = 2 });
        ProfileWriter.Write(ProfileFile.PathFor(folder["mine.gguf"]), TestProfiles.For(folder["yours.gguf"], 1));

        ModelProfileException e = Assert.Throws<ModelProfileException>(() =>
            ProfileFile.Find(ModelFileCheck.Check(folder["mine.gguf"]))
        );
        Assert.Contains("learned from 'synthetic your model", e.Message, StringComparison.Ordinal);
        Assert.Contains("'mine.gguf' is another model", e.Message, StringComparison.Ordinal);
        Assert.Contains($"foretoken tune {folder["mine.gguf"]}", e.Message, StringComparison.Ordinal);
    }

    private static Gen<ImportancePredictor> AnyPredictor(int layer, int heads, int width) =>
        from reads in Gen.Choose(1, 15)
        from attention in AnyWeight.ArrayOf(layer * AttentionFeatures.CountPerLayer(heads))
        from residual in AnyWeight.ArrayOf(width)
        from matches in AnyWeight.ArrayOf(MatchFeatures.Count)
        from hidden in Gen.Choose(1, 3)
        from network in AnyWeight.ArrayOf(ResidualNetwork.WeightCount(width, hidden))
        from hasThreshold in Gen.Elements(true, false)
        from threshold in AnyWeight
        from correlation in Gen.Elements(double.NaN, -1, 0.123456789, 1)
        select new ImportancePredictor(
            layer,
            (reads & 1) != 0 ? attention : default(ReadOnlyMemory<float>),
            (reads & 2) != 0 ? residual : default(ReadOnlyMemory<float>),
            hasThreshold ? threshold : null,
            correlation
        )
        {
            Network = (reads & 4) != 0 ? new ResidualNetwork(width, hidden, network) : null,
            MatchWeights = (reads & 8) != 0 ? matches : default(ReadOnlyMemory<float>),
        };

    private static Gen<PrefillSchedule> AnySchedule() =>
        from boundaries in Gen.Choose(1, 3)
        from waypoints in Gen.Choose(1, 4)
        from depths in AnyShare.ArrayOf(boundaries).Where(d => d.Distinct().Count() == d.Length)
        from falls in AnyShare.ArrayOf(waypoints)
        from hasLosses in Gen.Elements(true, false)
        from losses in AnyShare.ArrayOf(waypoints)
        select new PrefillSchedule(
            [.. depths.Order()],
            [
                .. falls
                    .OrderDescending()
                    .Select(fall => Enumerable.Range(1, boundaries).Select(i => fall / i).ToArray()),
            ],
            hasLosses ? [.. losses.Order()] : null
        );

    private static Gen<ProfileQuality> AnyQuality(int layers) =>
        from layer in Gen.Choose(1, layers - 1)
        from count in Gen.Choose(0, layers - 1)
        from retentions in AnyShare.ArrayOf(count)
        from least in Gen.Elements(0.25, 1)
        from shares in AnyShare.ArrayOf(3)
        from answers in Gen.Choose(0, 100).ArrayOf(2)
        select new ProfileQuality(
            [
                .. retentions
                    .OrderDescending()
                    .Select((retention, i) => new PlanBoundary(i + 1, retention) { MinRetention = least * retention }),
            ],
            shares[0],
            shares[1],
            answers[0],
            answers[1],
            shares[2]
        );

    private static byte[] Bytes(TemporaryFolder folder)
    {
        ProfileWriter.Write(folder["profile.gguf"], TestProfiles.Small);
        TestProfiles.AssertEqual(TestProfiles.Small, ProfileFile.Read(folder["profile.gguf"]));
        return File.ReadAllBytes(folder["profile.gguf"]);
    }

    private static string Refusal(string path) =>
        Assert.Throws<ModelProfileException>(() => ProfileFile.Read(path)).Message;

    private static void AssertRefused(ImportancePredictor predictor, string reason) =>
        AssertRefused(TestProfiles.Small with { Predictors = [predictor] }, reason);

    private static void AssertRefused(ModelProfile profile, string reason)
    {
        using TemporaryFolder folder = new();
        ArgumentException e = Assert.Throws<ArgumentException>(() => ProfileWriter.Write(folder["p.gguf"], profile));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder["p.gguf"]));
    }

    // what another build might have written: with another value, and a checksum that fits
    private static void Rewrite(string source, string target, string changedKey, GgufValue value, string? nanIn = null)
    {
        byte[] bytes = File.ReadAllBytes(source);
        GgufFile file = GgufReader.Read(source);
        GgufWriter writer = new();
        foreach ((string key, GgufValue old) in file.Metadata)
        {
            writer.Set(key, key == changedKey ? value : old);
        }

        foreach (GgufTensor tensor in file.Tensors)
        {
            writer.AddTensor(tensor.Name, tensor.Type, [.. tensor.Shape]);
        }

        if (nanIn is not null)
        {
            GgufTensor damaged = file.Tensors.Single(tensor => tensor.Name == nanIn);
            BitConverter.TryWriteBytes(bytes.AsSpan((int)(file.DataOffset + damaged.Offset)), float.NaN);
        }

        void WriteTensor(GgufTensor tensor, Stream output) =>
            output.Write(bytes, (int)(file.DataOffset + tensor.Offset), (int)tensor.ByteLength);

        string zeros = new('0', 64);
        writer.Set("foretoken.checksum", GgufValue.From(zeros));
        using MemoryStream stream = new();
        writer.Write(stream, WriteTensor);
        writer.Set(
            "foretoken.checksum",
            GgufValue.From(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(stream.ToArray())))
        );
        writer.WriteFile(target, WriteTensor);
    }
}
