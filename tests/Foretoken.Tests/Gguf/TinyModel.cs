using Foretoken.Gguf;
using Foretoken.Tuning.Models;

namespace Foretoken.Tests.Gguf;

internal static class TinyModel
{
    public const string Text = "layers=3,embd=64,heads=4,kv-heads=2,ffn=96,vocab=320";

    public static SyntheticModelSpec Spec { get; } = SyntheticModelSpec.Parse(Text);

    /// <summary>The file's bytes, new for every caller.</summary>
    public static byte[] Bytes()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], Spec);
        return File.ReadAllBytes(folder["tiny.gguf"]);
    }

    /// <summary>The same model with some metadata changed; a null value removes the key.</summary>
    public static void WriteVariant(string path, params (string Key, GgufValue? Value)[] changes)
    {
        byte[] bytes = Bytes();
        GgufFile file = GgufReader.Read(new MemoryStream(bytes));
        GgufWriter writer = new();
        foreach ((string key, GgufValue value) in file.Metadata)
        {
            (string Key, GgufValue? Value) change = Array.Find(changes, c => c.Key == key);
            if (change.Key is null)
            {
                writer.Set(key, value);
            }
        }

        foreach ((string key, GgufValue? value) in changes)
        {
            if (value is not null)
            {
                writer.Set(key, value);
            }
        }

        foreach (GgufTensor tensor in file.Tensors)
        {
            writer.AddTensor(tensor.Name, tensor.Type, [.. tensor.Shape]);
        }

        writer.WriteFile(
            path,
            (tensor, output) => output.Write(bytes, (int)(file.DataOffset + tensor.Offset), (int)tensor.ByteLength)
        );
    }
}
