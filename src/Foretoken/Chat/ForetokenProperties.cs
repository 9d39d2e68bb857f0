namespace Foretoken.Chat;

/// <summary>The keys of additional properties that requests and settings may have.</summary>
internal static class ForetokenProperties
{
    internal const string TargetTtftSpeedup = "target_ttft_speedup";
    internal const string TargetDecodeSpeedup = "target_decode_speedup";
    internal const string MaxQualityLoss = "max_quality_loss";
    internal const string UseThresholds = "use_thresholds";
    internal const string Importance = "importance";
    internal const string Strict = "strict";
    internal const string Completion = "completion";
    internal const string LoraAdapters = "lora_adapters";
    internal const string MinP = "min_p";
}
