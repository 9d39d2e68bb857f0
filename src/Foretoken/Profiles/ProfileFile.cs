using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Foretoken.Gguf;
using Foretoken.Planning;

namespace Foretoken.Profiles;

/// <summary>Reads and writes profiles: GGUF files that lie beside their model.</summary>
/// <remarks>
/// <para>
/// The weights of the predictor at layer 5 are the F32 tensors <c>boundary.5.attention</c> ([layers below, sources, pools, heads]
/// row-major), <c>boundary.5.matches</c> ([sources, pools] row-major) and <c>boundary.5.residual</c> ([embedding]), those of its
/// network <c>boundary.5.network</c> (all weights of a <see cref="SkimPredictor"/>; how many there are tells the width of its hidden
/// layer), those of the first routers <c>router.0.weights</c> ([candidate layers, embedding] row-major; absent where all are 0);
/// everything else is metadata under <c>foretoken.</c>. The first entry, <c>foretoken.checksum</c>, is the SHA-256 of the whole file
/// with the checksum's own 64 digits set to 0, so a single changed byte is noticed. The same profile gives the same bytes.
/// </para>
/// <para>Thread-safe.</para>
/// </remarks>
public static class ProfileFile
{
    /// <summary>How the names of profiles end.</summary>
    public const string Extension = ".foretoken.gguf";

    private const int Version = 1;
    private const string Architecture = "foretoken";
    private const long MaxBytes = 1 << 30;

    private const string ChecksumKey = "foretoken.checksum";
    private const string VersionKey = "foretoken.version";
    private const string FeaturesKey = "foretoken.features";
    private const string FingerprintKey = "foretoken.model.fingerprint";
    private const string ModelNameKey = "foretoken.model.name";
    private const string LayerCountKey = "foretoken.model.layer_count";
    private const string HeadCountKey = "foretoken.model.head_count";
    private const string EmbeddingSizeKey = "foretoken.model.embedding_size";
    private const string CreatedAtKey = "foretoken.origin.created_at";
    private const string PromptsKey = "foretoken.origin.prompts";
    private const string HeldOutPromptsKey = "foretoken.origin.held_out_prompts";
    private const string PromptTokensKey = "foretoken.origin.prompt_tokens";
    private const string SeedKey = "foretoken.origin.seed";
    private const string DescriptionKey = "foretoken.origin.description";
    private const string BoundariesKey = "foretoken.boundaries";
    private const string ThresholdsKey = "foretoken.thresholds";
    private const string CorrelationsKey = "foretoken.correlations";
    private const string ScheduleCountKey = "foretoken.schedule_count";
    private const string QualityBoundaryCountsKey = "foretoken.quality.boundary_counts";
    private const string QualityLayersKey = "foretoken.quality.layers";
    private const string QualityRetentionsKey = "foretoken.quality.retentions";
    private const string QualityMinRetentionsKey = "foretoken.quality.min_retentions";
    private const string QualityKlKey = "foretoken.quality.kl_divergence";
    private const string QualityAgreementKey = "foretoken.quality.agreement";
    private const string QualityAnsweredKey = "foretoken.quality.answered";
    private const string QualityAnsweredByFullKey = "foretoken.quality.answered_by_full_prefill";
    private const string QualityKeptShareKey = "foretoken.quality.kept_share";

    private const string RouterCountKey = "foretoken.router_count";
    private const string SkipCountsKey = "foretoken.skips.counts";
    private const string SkipLayersKey = "foretoken.skips.layers";
    private const string SkipPartsKey = "foretoken.skips.parts";
    private const string SkipRoutingLayersKey = "foretoken.skips.routing_layers";
    private const string SkipRoutingCountsKey = "foretoken.skips.routing_counts";
    private const string SkipRoutingPartsKey = "foretoken.skips.routing_parts";
    private const string SkipKlKey = "foretoken.skips.kl_divergence";
    private const string SkipAgreementKey = "foretoken.skips.agreement";
    private const string SkipAdapterNamesKey = "foretoken.skips.adapter_names";
    private const string SkipAdapterFingerprintsKey = "foretoken.skips.adapter_fingerprints";
    private const string SkipAdapterScalesKey = "foretoken.skips.adapter_scales";

    private const string MakeAgain =
        "Delete it and make it again with 'foretoken tune', or go without a profile (UseProfile = false, on the command line '--profile none').";

    // what a profile says that reads the tokens, too
    private static readonly string FeaturesWithMatches = $"{AttentionFeatures.Definition};{MatchFeatures.Definition}";

    private static readonly string NoChecksum = new('0', 2 * SHA256.HashSizeInBytes);

    // magic, version, two counts; length and text of the key; type; length of the text
    private static readonly int ChecksumOffset = 4 + 4 + 8 + 8 + 8 + ChecksumKey.Length + 4 + 8;

    /// <summary>Where the profile of a model lies: <c>model.foretoken.gguf</c> beside <c>model.gguf</c>.</summary>
    /// <param name="modelPath">GGUF file; of a split model, any of its shards, whose numbers do not count.</param>
    public static string PathFor(string modelPath)
    {
        ArgumentException.ThrowIfNullOrEmpty(modelPath);
        const string Gguf = ".gguf";
        string name =
            GgufShardName.Parse(modelPath)?.Prefix
            ?? (modelPath.EndsWith(Gguf, StringComparison.OrdinalIgnoreCase) ? modelPath[..^Gguf.Length] : modelPath);
        return name + Extension;
    }

    /// <summary>Finds the profile of a model, and checks that it belongs to it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="path">The profile; <see langword="null"/> for the one at <see cref="PathFor"/>, where there is one.</param>
    /// <returns>The profile; <see langword="null"/> where none is named and none lies beside the model.</returns>
    /// <exception cref="ModelProfileException">The named file is missing, or the profile is damaged or of another model.</exception>
    public static ModelProfile? Find(ModelFileInfo model, string? path = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (path is null)
        {
            path = PathFor(model.Path);
            if (!File.Exists(path))
            {
                return null;
            }
        }

        ModelProfile profile = Read(path);
        string fingerprint = ModelFingerprint.Compute(model);
        string advice =
            $"Run 'foretoken tune {model.Path}' for a profile of this model, or go without one (UseProfile = false, on the command line '--profile none').";
        if (!string.Equals(profile.Fingerprint, fingerprint, StringComparison.OrdinalIgnoreCase))
        {
            throw Refused(
                path,
                $"it was learned from '{profile.ModelName}' (fingerprint {Short(profile.Fingerprint)}); '{Path.GetFileName(model.Path)}' is another model, or another quantisation of it (fingerprint {Short(fingerprint)}).",
                advice
            );
        }

        // of an architecture that cannot be staged the sizes are not known, and no plan will be made for it
        if (
            model.Shape is { } shape
            && (
                profile.LayerCount != shape.LayerCount
                || profile.HeadCount != shape.HeadCount
                || profile.EmbeddingSize != shape.EmbeddingSize
            )
        )
        {
            throw Refused(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it is for {profile.LayerCount} layers of {profile.HeadCount} heads and width {profile.EmbeddingSize}; '{Path.GetFileName(model.Path)}' has {shape.LayerCount} layers of {shape.HeadCount} heads and width {shape.EmbeddingSize}."
                ),
                advice
            );
        }

        return profile;
    }

    /// <summary>Reads a profile.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="ModelProfileException">
    /// The file is missing, unreadable, damaged, no profile, of another version, or holds what no model can use.
    /// </exception>
    public static ModelProfile Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        GgufFile header;
        byte[] bytes;
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16);
            header = GgufReader.Read(stream);
            CheckHeader(path, header);
            bytes = new byte[header.FileLength];
            stream.Position = 0;
            stream.ReadExactly(bytes);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw Refused(
                path,
                $"there is no such file (looked for '{Path.GetFullPath(path)}').",
                "Check the path, or make a profile with 'foretoken tune'.",
                e
            );
        }
        catch (GgufFormatException e)
        {
            throw Refused(path, $"it is damaged, or no profile. {e.Message}.", MakeAgain, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Refused(path, $"it could not be read. {e.Message}", "Check the path and the permissions.", e);
        }

        if (header.GetString(ChecksumKey) != Checksum(bytes))
        {
            throw Refused(path, "it is damaged: its content does not match its checksum.", MakeAgain);
        }

        ModelProfile profile;
        try
        {
            profile = Decode(header, bytes);
        }
        catch (Exception e)
            when (e is InvalidOperationException or ArgumentException or FormatException or OverflowException)
        {
            throw Refused(path, $"it contradicts itself. {e.Message}", MakeAgain, e);
        }

        return FindProblem(profile) is { } problem ? throw Refused(path, problem, MakeAgain) : profile;
    }

    /// <summary>Writes a profile. It appears under its name only when it is complete.</summary>
    /// <param name="path">The file; an existing one is replaced.</param>
    /// <param name="profile">The profile.</param>
    /// <exception cref="ArgumentException">The profile contradicts itself; the message says where.</exception>
    /// <exception cref="IOException">The file could not be written.</exception>
    public static void Write(string path, ModelProfile profile)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(profile);
        if (FindProblem(profile) is { } problem)
        {
            throw new ArgumentException($"The profile cannot be written: {problem}", nameof(profile));
        }

        GgufWriter writer = Encode(profile, out Dictionary<string, ReadOnlyMemory<float>> weights);
        using MemoryStream content = new();
        writer.Write(content, WriteTensor);
        writer.Set(ChecksumKey, GgufValue.From(Checksum(content.ToArray())));
        writer.WriteFile(path, WriteTensor);

        void WriteTensor(GgufTensor tensor, Stream output) =>
            output.Write(MemoryMarshal.AsBytes(weights[tensor.Name].Span));
    }

    private static void CheckHeader(string path, GgufFile header)
    {
        if (header.GetInt64(VersionKey) is not { } version)
        {
            throw Refused(
                path,
                $"it is a GGUF file, but no profile (its architecture is '{header.GetString("general.architecture")}').",
                "Name a profile, or make one with 'foretoken tune'."
            );
        }

        if (version != Version)
        {
            throw Refused(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it has version {version}; this build reads version {Version}."
                ),
                "Make it again with the 'foretoken tune' of this build, or go without a profile (UseProfile = false, on the command line '--profile none')."
            );
        }

        if (header.IsTruncated)
        {
            throw Refused(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it is truncated: it needs {header.RequiredLength} bytes and has {header.FileLength}."
                ),
                "Copy it again, or make it again with 'foretoken tune'."
            );
        }

        if (
            header.FileLength > MaxBytes
            || header.Metadata[0].Key != ChecksumKey
            || header.GetString(ChecksumKey)?.Length != NoChecksum.Length
        )
        {
            throw Refused(path, "it is damaged: it does not begin with its checksum.", MakeAgain);
        }

        string? features = header.GetString(FeaturesKey);
        if (features != AttentionFeatures.Definition && features != FeaturesWithMatches)
        {
            throw Refused(
                path,
                $"it was learned on the features '{features}'; this build computes '{FeaturesWithMatches}'.",
                "Make it again with the 'foretoken tune' of this build, or go without a profile (UseProfile = false, on the command line '--profile none')."
            );
        }
    }

    /// <summary>SHA-256 of a file's bytes with the checksum's own digits set to 0.</summary>
    private static string Checksum(byte[] bytes)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(bytes.AsSpan(0, ChecksumOffset));
        hash.AppendData(Encoding.ASCII.GetBytes(NoChecksum));
        hash.AppendData(bytes.AsSpan(ChecksumOffset + NoChecksum.Length));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static GgufWriter Encode(ModelProfile profile, out Dictionary<string, ReadOnlyMemory<float>> weights)
    {
        GgufWriter writer = new();
        // first, so that its place is known
        writer.Set(ChecksumKey, GgufValue.From(NoChecksum));
        writer.Set("general.architecture", GgufValue.From(Architecture));
        writer.Set(VersionKey, GgufValue.From((uint)Version));
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

    private static ModelProfile Decode(GgufFile header, byte[] bytes)
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

    private static SkimPredictor? DecodeNetwork(GgufFile header, byte[] bytes, string name, int embeddingSize)
    {
        ReadOnlyMemory<float> weights = Weights(header, bytes, name);
        try
        {
            return weights.IsEmpty ? null : SkimPredictor.FromWeights(embeddingSize, weights.Span);
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

    /// <summary>What no profile may hold, as a sentence; null when everything is well.</summary>
    private static string? FindProblem(ModelProfile profile)
    {
        if (profile.LayerCount < 2 || profile.HeadCount < 1 || profile.EmbeddingSize < 1)
        {
            return I(
                $"it is for {profile.LayerCount} layers of {profile.HeadCount} heads and width {profile.EmbeddingSize}, which no model has."
            );
        }

        if (profile.Predictors.Count == 0)
        {
            return "it has no importance predictor.";
        }

        HashSet<int> layers = [];
        foreach (ImportancePredictor predictor in profile.Predictors)
        {
            int layer = predictor.Layer;
            if (layer < 1 || layer >= profile.LayerCount)
            {
                return I(
                    $"it has a predictor for a boundary at layer {layer}; boundaries from 1 to {profile.LayerCount - 1} are possible."
                );
            }

            if (!layers.Add(layer))
            {
                return I($"it has two predictors for the boundary at layer {layer}.");
            }

            int attention = predictor.AttentionWeights.Length;
            int expected = layer * AttentionFeatures.CountPerLayer(profile.HeadCount);
            if (attention != 0 && attention != expected)
            {
                return I(
                    $"its predictor at layer {layer} has {attention} attention weights; {profile.HeadCount} heads and {layer} layers need {expected}."
                );
            }

            int matches = predictor.MatchWeights.Length;
            if (matches != 0 && matches != MatchFeatures.Count)
            {
                return I(
                    $"its predictor at layer {layer} has {matches} weights of tokens that occur again; there are {MatchFeatures.Count} such features."
                );
            }

            int residual = predictor.ResidualWeights.Length;
            if (residual != 0 && residual != profile.EmbeddingSize)
            {
                return I(
                    $"its predictor at layer {layer} has {residual} residual weights; the residual stream is {profile.EmbeddingSize} wide."
                );
            }

            if (predictor.Network is { } network && network.EmbeddingSize != profile.EmbeddingSize)
            {
                return I(
                    $"its predictor at layer {layer} has a network for a residual stream of {network.EmbeddingSize} numbers; the model's is {profile.EmbeddingSize} wide."
                );
            }

            if (attention + matches + residual == 0 && predictor.Network is null)
            {
                return I($"its predictor at layer {layer} has no weights.");
            }

            if (
                !AllFinite(predictor.AttentionWeights.Span)
                || !AllFinite(predictor.MatchWeights.Span)
                || !AllFinite(predictor.ResidualWeights.Span)
            )
            {
                return I($"its predictor at layer {layer} has a weight that is not a finite number.");
            }

            if (predictor.Threshold is { } threshold && !float.IsFinite(threshold))
            {
                return I($"its predictor at layer {layer} has the threshold {threshold}.");
            }
        }

        foreach (PrefillSchedule schedule in profile.Schedules)
        {
            Span<PlanBoundary> boundaries = new PlanBoundary[schedule.Depths.Count];
            if (
                schedule.BoundariesAt(schedule.Length, profile.LayerCount, boundaries) > 0
                && boundaries[0].Layer < layers.Min()
            )
            {
                return I(
                    $"it has plans with a boundary at layer {boundaries[0].Layer}; its lowest predictor is for layer {layers.Min()}."
                );
            }
        }

        foreach (ProfileQuality quality in profile.Quality)
        {
            if (FindProblem(() => PrefillPlan.FromBoundaries(quality.Boundaries), profile.LayerCount) is { } problem)
            {
                return $"its quality table has a plan that cannot be. {problem}";
            }

            if (
                !double.IsFinite(quality.KlDivergence)
                || !(quality.Agreement >= 0 && quality.Agreement <= 1)
                || !(quality.KeptShare >= 0 && quality.KeptShare <= 1)
                || quality.Answered < 0
                || quality.AnsweredByFullPrefill < 0
            )
            {
                return $"its quality table has a line that cannot be: {quality}.";
            }
        }

        return FindRouterProblem(profile) ?? FindSkipProblem(profile) ?? FindAdapterProblem(profile);
    }

    private static string? FindRouterProblem(ModelProfile profile)
    {
        HashSet<SkipRouting> routings = [];
        foreach (SkipRouter router in profile.Routers)
        {
            SkipRouting routing = router.Routing;
            if (FindProblem(() => PrefillPlan.FromBoundaries([], routing: routing), profile.LayerCount) is { } problem)
            {
                return $"it has routers that cannot be. {problem}";
            }

            string which = $"its routers for {routing}";
            if (!routings.Add(routing))
            {
                return $"{which} are there twice.";
            }

            if (router.Layers.Count < routing.Count)
            {
                return I($"{which} have only {router.Layers.Count} layers to choose from.");
            }

            for (int i = 0; i < router.Layers.Count; i++)
            {
                int layer = router.Layers[i];
                if (
                    layer < routing.Layer
                    || !new LayerSkip(layer, routing.Part).IsPossible(profile.LayerCount)
                    || (i > 0 && layer <= router.Layers[i - 1])
                )
                {
                    return I(
                        $"{which} have the candidates {string.Join(", ", router.Layers)}: not ascending layers that can be skipped in a model of {profile.LayerCount}."
                    );
                }
            }

            if (
                (!router.Weights.IsEmpty && router.Weights.Length != (long)router.Layers.Count * profile.EmbeddingSize)
                || router.Biases.Length != router.Layers.Count
            )
            {
                return I(
                    $"{which} have {router.Weights.Length} weights and {router.Biases.Length} biases; {router.Layers.Count} layers and a width of {profile.EmbeddingSize} need {(long)router.Layers.Count * profile.EmbeddingSize} and {router.Layers.Count}."
                );
            }

            if (!AllFinite(router.Weights.Span) || !AllFinite(router.Biases.Span))
            {
                return $"{which} have a weight that is not a finite number.";
            }
        }

        return null;
    }

    private static string? FindSkipProblem(ModelProfile profile)
    {
        foreach (ProfileSkipQuality quality in profile.SkipQuality)
        {
            if (
                FindProblem(
                    () => PrefillPlan.FromBoundaries([], skips: quality.Skips, routing: quality.Routing),
                    profile.LayerCount
                ) is
                { } problem
            )
            {
                return $"its table of skips has a line that cannot be. {problem}";
            }

            if (
                !(quality.KlDivergence >= 0 && double.IsFinite(quality.KlDivergence))
                || !(quality.Agreement >= 0 && quality.Agreement <= 1)
                || (quality.Routing is null && quality.Skips.Count == 0)
            )
            {
                return $"its table of skips has a line that cannot be: {quality}.";
            }

            if (
                quality.Routing is { } routing
                && !profile.Routers.Any(router =>
                    router.Routing.Layer == routing.Layer
                    && router.Routing.Part == routing.Part
                    && router.Layers.Count >= routing.Count
                )
            )
            {
                return $"its table of skips has {routing}, and it has no routers for that.";
            }
        }

        return null;
    }

    private static string? FindAdapterProblem(ModelProfile profile)
    {
        foreach (ProfileAdapter adapter in profile.SkipAdapters)
        {
            if (
                adapter.FileName.Length == 0
                || adapter.Fingerprint.Length != 2 * SHA256.HashSizeInBytes
                || !adapter.Fingerprint.All(char.IsAsciiHexDigitLower)
                || !float.IsFinite(adapter.Scale)
                || adapter.Scale == 0
            )
            {
                return $"its skips were learned with an adapter that cannot be: {adapter}.";
            }
        }

        return profile.SkipAdapters.Count > 0 && profile.Routers.Count == 0 && profile.SkipQuality.Count == 0
            ? "it names adapters of skips, and it has no skips."
            : null;
    }

    private static string? FindProblem(Func<PrefillPlan> make, int layerCount)
    {
        try
        {
            make().EnsureFits(layerCount);
            return null;
        }
        catch (ArgumentException e)
        {
            return e.Message;
        }
    }

    private static bool AllFinite(ReadOnlySpan<float> values)
    {
        foreach (float value in values)
        {
            if (!float.IsFinite(value))
            {
                return false;
            }
        }

        return true;
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

    private static string DepthsKey(int schedule) => I($"foretoken.schedule.{schedule}.depths");

    private static string RetentionsKey(int schedule) => I($"foretoken.schedule.{schedule}.retentions");

    private static string LossesKey(int schedule) => I($"foretoken.schedule.{schedule}.losses");

    private static string RouterRoutingKey(int router) => I($"foretoken.router.{router}.layer_count_part");

    private static string RouterLayersKey(int router) => I($"foretoken.router.{router}.candidates");

    private static string RouterBiasesKey(int router) => I($"foretoken.router.{router}.biases");

    private static string RouterTensor(int router) => I($"router.{router}.weights");

    private static string AttentionTensor(int layer) => I($"boundary.{layer}.attention");

    private static string MatchTensor(int layer) => I($"boundary.{layer}.matches");

    private static string ResidualTensor(int layer) => I($"boundary.{layer}.residual");

    private static string NetworkTensor(int layer) => I($"boundary.{layer}.network");

    private static string Short(string fingerprint) => fingerprint.Length > 12 ? fingerprint[..12] : fingerprint;

    private static string I(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static ModelProfileException Refused(
        string path,
        string problem,
        string advice,
        Exception? innerException = null
    ) => new($"Profile '{path}': {problem} {advice}", innerException);
}
