using System.Globalization;
using System.Security.Cryptography;
using Foretoken.Importance;

namespace Foretoken.Profiles;

/// <summary>Names of what stands in a profile, see <see cref="ProfileFile"/>.</summary>
internal static class ProfileKeys
{
    internal const int FormatVersion = 1;
    internal const string FormatArchitecture = "foretoken";
    internal const string ChecksumKey = "foretoken.checksum";
    internal const string VersionKey = "foretoken.version";
    internal const string FeaturesKey = "foretoken.features";
    internal const string FingerprintKey = "foretoken.model.fingerprint";
    internal const string ModelNameKey = "foretoken.model.name";
    internal const string LayerCountKey = "foretoken.model.layer_count";
    internal const string HeadCountKey = "foretoken.model.head_count";
    internal const string EmbeddingSizeKey = "foretoken.model.embedding_size";
    internal const string CreatedAtKey = "foretoken.origin.created_at";
    internal const string PromptsKey = "foretoken.origin.prompts";
    internal const string HeldOutPromptsKey = "foretoken.origin.held_out_prompts";
    internal const string PromptTokensKey = "foretoken.origin.prompt_tokens";
    internal const string SeedKey = "foretoken.origin.seed";
    internal const string DescriptionKey = "foretoken.origin.description";
    internal const string BoundariesKey = "foretoken.boundaries";
    internal const string ThresholdsKey = "foretoken.thresholds";
    internal const string CorrelationsKey = "foretoken.correlations";
    internal const string ScheduleCountKey = "foretoken.schedule_count";
    internal const string QualityBoundaryCountsKey = "foretoken.quality.boundary_counts";
    internal const string QualityLayersKey = "foretoken.quality.layers";
    internal const string QualityRetentionsKey = "foretoken.quality.retentions";
    internal const string QualityMinRetentionsKey = "foretoken.quality.min_retentions";
    internal const string QualityKlKey = "foretoken.quality.kl_divergence";
    internal const string QualityAgreementKey = "foretoken.quality.agreement";
    internal const string QualityAnsweredKey = "foretoken.quality.answered";
    internal const string QualityAnsweredByFullKey = "foretoken.quality.answered_by_full_prefill";
    internal const string QualityKeptShareKey = "foretoken.quality.kept_share";
    internal const string RouterCountKey = "foretoken.router_count";
    internal const string SkipCountsKey = "foretoken.skips.counts";
    internal const string SkipLayersKey = "foretoken.skips.layers";
    internal const string SkipPartsKey = "foretoken.skips.parts";
    internal const string SkipRoutingLayersKey = "foretoken.skips.routing_layers";
    internal const string SkipRoutingCountsKey = "foretoken.skips.routing_counts";
    internal const string SkipRoutingPartsKey = "foretoken.skips.routing_parts";
    internal const string SkipKlKey = "foretoken.skips.kl_divergence";
    internal const string SkipAgreementKey = "foretoken.skips.agreement";
    internal const string SkipAdapterNamesKey = "foretoken.skips.adapter_names";
    internal const string SkipAdapterFingerprintsKey = "foretoken.skips.adapter_fingerprints";
    internal const string SkipAdapterScalesKey = "foretoken.skips.adapter_scales";

    // what a profile says that reads the tokens, too
    internal static readonly string FeaturesWithMatches = $"{AttentionFeatures.Definition};{MatchFeatures.Definition}";

    internal static readonly string NoChecksum = new('0', 2 * SHA256.HashSizeInBytes);

    // magic, version, two counts; length and text of the key; type; length of the text
    internal static readonly int ChecksumOffset = 4 + 4 + 8 + 8 + 8 + ChecksumKey.Length + 4 + 8;

    internal static string DepthsKey(int schedule) =>
        string.Create(CultureInfo.InvariantCulture, $"foretoken.schedule.{schedule}.depths");

    internal static string RetentionsKey(int schedule) =>
        string.Create(CultureInfo.InvariantCulture, $"foretoken.schedule.{schedule}.retentions");

    internal static string LossesKey(int schedule) =>
        string.Create(CultureInfo.InvariantCulture, $"foretoken.schedule.{schedule}.losses");

    internal static string RouterRoutingKey(int router) =>
        string.Create(CultureInfo.InvariantCulture, $"foretoken.router.{router}.layer_count_part");

    internal static string RouterLayersKey(int router) =>
        string.Create(CultureInfo.InvariantCulture, $"foretoken.router.{router}.candidates");

    internal static string RouterBiasesKey(int router) =>
        string.Create(CultureInfo.InvariantCulture, $"foretoken.router.{router}.biases");

    internal static string RouterTensor(int router) =>
        string.Create(CultureInfo.InvariantCulture, $"router.{router}.weights");

    internal static string AttentionTensor(int layer) =>
        string.Create(CultureInfo.InvariantCulture, $"boundary.{layer}.attention");

    internal static string MatchTensor(int layer) =>
        string.Create(CultureInfo.InvariantCulture, $"boundary.{layer}.matches");

    internal static string ResidualTensor(int layer) =>
        string.Create(CultureInfo.InvariantCulture, $"boundary.{layer}.residual");

    internal static string NetworkTensor(int layer) =>
        string.Create(CultureInfo.InvariantCulture, $"boundary.{layer}.network");
}
