using Foretoken.Importance;
using Foretoken.Tuning.Prompts;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Importance;

public class MatchFeaturesTests
{
    private const int Tail = 32;
    private const int Head = 128;

    // few different tokens, so that most occur again
    private static readonly Gen<int[]> AnyTokens =
        from kinds in Gen.Choose(1, 40)
        from tokens in Gen.Choose(0, kinds).ListOf()
        from length in Gen.Choose(1, 300)
        select Enumerable.Range(0, length).Select(i => tokens.Count == 0 ? i : tokens[i * 7 % tokens.Count]).ToArray();

    [Fact]
    public void Every_query_shares_its_attention_among_the_other_tokens_that_are_the_same() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(200),
            Prop.ForAll(
                AnyTokens.ToArbitrary(),
                tokens =>
                {
                    AssertFeatures(Received(tokens, Math.Max(0, tokens.Length - Tail), tokens.Length), tokens, 0);
                    AssertFeatures(Received(tokens, 0, Math.Min(Head, tokens.Length)), tokens, 1);
                }
            )
        );

    [Fact]
    public void A_passage_that_the_end_repeats_stands_out_and_the_more_the_rarer_its_words_are()
    {
        int[] tokens = [.. Enumerable.Range(0, 600).Select(i => 1000 + i)];
        // rare: nowhere else; frequent: all over the first half
        int[] rare = [1, 2, 3];
        int[] frequent = [4, 5, 6];
        for (int i = 50; i < 300; i += 10)
        {
            frequent.CopyTo(tokens, i);
        }

        rare.CopyTo(tokens, 400);
        rare.CopyTo(tokens, 580);
        frequent.CopyTo(tokens, 590);
        float[] features = Compute(tokens, 0);
        Assert.True(features[401] > features[201] + 1);
        Assert.True(features[201] > features[500] + 0.1);
        Assert.Equal(Math.Log(4), features[500], 1e-5);
    }

    [Fact]
    public void What_repeats_nothing_says_nothing() =>
        Assert.All(Compute([.. Enumerable.Range(0, 300)], 1), value => Assert.Equal(Math.Log(4), value, 1e-5));

    [Fact]
    public void Sources_and_room_are_checked()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => MatchFeatures.Compute([1, 2], -1, new float[4]));
        Assert.Throws<ArgumentOutOfRangeException>(() => MatchFeatures.Compute([1, 2], 2, new float[4]));
        Assert.Throws<ArgumentOutOfRangeException>(() => MatchFeatures.Compute([1, 2], 0, new float[3]));
    }

    private static float[] Compute(int[] tokens, int source)
    {
        float[] features = new float[AttentionFeatures.PoolCount * tokens.Length];
        MatchFeatures.Compute(tokens, source, features);
        return features;
    }

    // query by query, as the definition says
    private static double[] Received(int[] tokens, int from, int end)
    {
        double[] received = new double[tokens.Length];
        for (int query = from; query < end; query++)
        {
            int[] same = [.. Enumerable.Range(0, tokens.Length).Where(i => i != query && tokens[i] == tokens[query])];
            foreach (int key in same)
            {
                received[key] += 1.0 / same.Length / (end - from);
            }
        }

        return received;
    }

    private static void AssertFeatures(double[] received, int[] tokens, int source)
    {
        int n = tokens.Length;
        float[] actual = Compute(tokens, source);
        for (int i = 0; i < Math.Min(4, n); i++)
        {
            received[i] = 0;
        }

        double[] body = n > 36 ? received[4..^32] : received;
        double mean = body.Average();
        int[] widths = [7, 31];
        for (int pool = 0; pool < widths.Length; pool++)
        {
            float[] single = [.. received.Select(value => (float)value)];
            float[] pooled = new float[n];
            Pooling.Mean(single, pooled, widths[pool]);
            for (int i = 0; i < n; i++)
            {
                double expected = Math.Log((mean > 0 ? pooled[i] / mean : 0) + 4);
                Assert.Equal(expected, actual[(pool * n) + i], 1e-3);
            }
        }
    }
}
