using System.Runtime.InteropServices;
using Foretoken.Gguf;
using Foretoken.Plans;
using Foretoken.Tuning.Models;

namespace Foretoken.Tests.Sessions;

/// <summary>Writes LoRA adapters of random numbers for the queries and the feed-forward block of every layer.</summary>
internal static class TestAdapter
{
    private const int Rank = 4;

    /// <param name="path">The file to write.</param>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="seed">Of the random numbers.</param>
    /// <param name="scale">Size of B; 0: the adapter adds nothing.</param>
    /// <param name="configure">Changes what the file says of itself.</param>
    internal static string Write(
        string path,
        ModelShape shape,
        int seed,
        float scale,
        Action<GgufWriter>? configure = null
    )
    {
        GgufWriter writer = new();
        writer.Set("general.type", GgufValue.From("adapter"));
        writer.Set("general.architecture", GgufValue.From("llama"));
        writer.Set("adapter.type", GgufValue.From("lora"));
        writer.Set("adapter.lora.alpha", GgufValue.From((float)Rank));
        configure?.Invoke(writer);
        for (int layer = 0; layer < shape.LayerCount; layer++)
        {
            foreach (
                (string name, int width) in ((string, int)[])
                    [("attn_q", shape.EmbeddingSize), ("ffn_up", shape.FeedForwardSize)]
            )
            {
                writer.AddTensor($"blk.{layer}.{name}.weight.lora_a", GgufTensorType.F32, shape.EmbeddingSize, Rank);
                writer.AddTensor($"blk.{layer}.{name}.weight.lora_b", GgufTensorType.F32, Rank, width);
            }
        }
        Random random = new(seed);
        writer.WriteFile(
            path,
            (tensor, output) =>
            {
                float size = tensor.Name.EndsWith("lora_a", StringComparison.Ordinal) ? 0.1f : scale;
                float[] numbers = new float[tensor.ElementCount];
                for (int i = 0; i < numbers.Length; i++)
                {
                    numbers[i] = size * ((2 * random.NextSingle()) - 1);
                }
                output.Write(MemoryMarshal.AsBytes<float>(numbers));
            }
        );
        return path;
    }
}
