using System.Text.Json;
using Foretoken.Profiles;

namespace Foretoken.Tests.Profiles;

/// <summary>Against values of the numpy reference behind the project's quality figures.</summary>
public class GoldenImportanceTests
{
    private static readonly Golden Values = Load();

    [Theory]
    [InlineData(0, 7)]
    [InlineData(1, 31)]
    public void Pooling_is_that_of_the_reference(int poolIndex, int width)
    {
        // features0[token][((layer * sources + source) * pools + pool) * heads + head] = ln(pool(a) / mean(a) + 0.02)
        float[][][][] attention = Values.Attention[0];
        int sources = attention[0].Length;
        int heads = attention[0][0].Length;
        for (int layer = 0; layer < attention.Length; layer++)
        {
            for (int source = 0; source < sources; source++)
            {
                for (int head = 0; head < heads; head++)
                {
                    float[] row = [.. attention[layer][source][head]];
                    row.AsSpan(0, 4).Clear();
                    double mean = row[4..^32].Average(x => (double)x);
                    float[] pooled = new float[row.Length];
                    Pooling.Mean(row, pooled, width);
                    int column = (((((layer * sources) + source) * 2) + poolIndex) * heads) + head;
                    for (int j = 0; j < row.Length; j++)
                    {
                        Assert.Equal(Values.Features0[j][column], Math.Log((pooled[j] / mean) + 0.02), 1e-4);
                    }
                }
            }
        }
    }

    [Fact]
    public void Selection_is_that_of_the_reference()
    {
        float[] importance = [.. Values.Importance0.Select(x => (float)x)];
        Assert.Equal(Values.Keep0, TokenSelector.Select(importance, [], retention: 0.5));
        Assert.Equal(Values.Keep0, ReferenceImportance.Keep(Values.Importance0, new bool[importance.Length], 0.5));
    }

    private static Golden Load()
    {
        string path = Path.Combine(AppContext.BaseDirectory, "Profiles", "importance.golden.json");
        return JsonSerializer.Deserialize<Golden>(File.ReadAllText(path), JsonSerializerOptions.Web)!;
    }

    // attention: [prompt, layer, source, head, token]
    private sealed record Golden(float[][][][][] Attention, double[][] Features0, double[] Importance0, int[] Keep0);
}
