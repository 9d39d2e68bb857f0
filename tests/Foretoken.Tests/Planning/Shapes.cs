using Foretoken.Plans;
using Foretoken.Tuning.Models;

namespace Foretoken.Tests.Planning;

internal static class Shapes
{
    /// <summary>Small enough to count by hand.</summary>
    public static ModelShape Tiny { get; } =
        new()
        {
            LayerCount = 4,
            EmbeddingSize = 8,
            HeadCount = 2,
            KvHeadCount = 1,
            FeedForwardSize = 16,
            VocabularySize = 100,
        };

    public static ModelShape SmolLM2 { get; } = SyntheticModelSpec.Parse("smollm2-135m").Shape;

    public static ModelShape Llama1B { get; } = SyntheticModelSpec.Parse("llama-3.2-1b").Shape;

    public static ModelShape Llama8B { get; } = SyntheticModelSpec.Parse("llama-3.1-8b").Shape;
}
