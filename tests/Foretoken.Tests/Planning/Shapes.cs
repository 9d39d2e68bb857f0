using Foretoken.Gguf;
using Foretoken.Planning;

namespace Foretoken.Tests.Planning;

internal static class Shapes
{
    public static ModelShape SmolLM2 { get; } = SyntheticModelSpec.Parse("smollm2-135m").Shape;

    public static ModelShape Llama1B { get; } = SyntheticModelSpec.Parse("llama-3.2-1b").Shape;

    public static ModelShape Llama8B { get; } = SyntheticModelSpec.Parse("llama-3.1-8b").Shape;
}
