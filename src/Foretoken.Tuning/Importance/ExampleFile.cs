using System.Globalization;
using System.Runtime.InteropServices;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Tuning.Models;

namespace Foretoken.Tuning.Importance;

/// <summary>Keeps gathered examples on disk, so that an interrupted tuning goes on where it was. Thread-safe.</summary>
internal static class ExampleFile
{
    private const string PromptKey = "foretoken.example.prompt";
    private const string HeadsKey = "foretoken.example.heads";
    private const string FirstAnswerLayerKey = "foretoken.example.first_answer_layer";
    private const string AttentionName = "attention";
    private const string AnswerName = "answer";
    private const string ResidualPrefix = "residual.";

    /// <summary>Writes an example; the file appears only when it is complete.</summary>
    internal static void Write(string path, TuningExample example)
    {
        GgufWriter writer = new();
        writer.Set(PromptKey, GgufValue.From(example.Prompt));
        writer.Set(HeadsKey, GgufValue.From(example.HeadCount));
        writer.Set(FirstAnswerLayerKey, GgufValue.From(example.FirstAnswerLayer));
        Dictionary<string, float[]> tensors = new()
        {
            [AttentionName] = example.Attention,
            [AnswerName] = example.AnswerAttention,
        };
        foreach ((int layer, float[] residual) in example.Residuals)
        {
            tensors.Add(ResidualPrefix + layer.ToString(CultureInfo.InvariantCulture), residual);
        }

        foreach ((string name, float[] data) in tensors)
        {
            writer.AddTensor(name, GgufTensorType.F32, example.TokenCount, data.Length / example.TokenCount);
        }

        writer.WriteFile(path, (tensor, stream) => stream.Write(MemoryMarshal.AsBytes<float>(tensors[tensor.Name])));
    }

    /// <summary>Reads an example.</summary>
    /// <exception cref="GgufFormatException">The file is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    internal static TuningExample Read(string path)
    {
        GgufFile file = GgufReader.Read(path);
        using FileStream stream = File.OpenRead(path);
        Dictionary<int, float[]> residuals = [];
        float[]? attention = null;
        float[]? answer = null;
        int tokens = 0;
        foreach (GgufTensor tensor in file.Tensors)
        {
            float[] data = new float[tensor.ElementCount];
            stream.Position = file.DataOffset + tensor.Offset;
            stream.ReadExactly(MemoryMarshal.AsBytes(data.AsSpan()));
            if (tensor.Name == AttentionName)
            {
                attention = data;
                tokens = (int)tensor.Shape[0];
            }
            else if (tensor.Name == AnswerName)
            {
                answer = data;
            }
            else if (
                tensor.Name.StartsWith(ResidualPrefix, StringComparison.Ordinal)
                && int.TryParse(
                    tensor.Name.AsSpan(ResidualPrefix.Length),
                    NumberStyles.None,
                    CultureInfo.InvariantCulture,
                    out int layer
                )
            )
            {
                residuals.Add(layer, data);
            }
            else
            {
                throw Incomplete(path);
            }
        }

        return new TuningExample
        {
            Prompt = file.GetString(PromptKey) ?? throw Incomplete(path),
            TokenCount = tokens,
            HeadCount = (int)(file.GetInt64(HeadsKey) ?? throw Incomplete(path)),
            Attention = attention ?? throw Incomplete(path),
            FirstAnswerLayer = (int)(file.GetInt64(FirstAnswerLayerKey) ?? throw Incomplete(path)),
            AnswerAttention = answer ?? throw Incomplete(path),
            Residuals = residuals,
        };
    }

    private static IOException Incomplete(string path) =>
        new($"'{path}' is no example of a tuning; delete it, and it is made again.");
}
