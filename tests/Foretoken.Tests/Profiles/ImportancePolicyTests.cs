using System.Runtime.InteropServices;
using Foretoken.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Profiles;

public class ImportancePolicyTests
{
    public static TheoryData<int, int, int> Sizes =>
        new()
        {
            // tokens, heads, layers
            { 1, 1, 1 },
            { 5, 2, 1 },
            { 36, 3, 2 },
            { 37, 3, 4 },
            { 300, 9, 4 },
            { 1024, 4, 3 },
        };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Attention_context_contribution_is_that_of_the_reference(int tokens, int heads, int layers)
    {
        _ = layers;
        AttentionContextContribution policy = new();
        Fixture fixture = new(policy, 6, 7, heads, tokens);
        Assert.Equal([new AttentionProbe(6, ProbeReduction.Mean, 0, 1)], policy.GetProbes(3, 7));
        fixture.AssertImportance(ReferenceImportance.AttentionContextContribution(fixture.Layers[0]));
        Assert.Equal(
            [new AttentionProbe(6, ProbeReduction.Mean, 15, 16)],
            new AttentionContextContribution(sampled: true).GetProbes(3, 7)
        );
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Recent_window_is_that_of_the_reference(int tokens, int heads, int layers)
    {
        _ = layers;
        RecentWindow policy = new();
        Fixture fixture = new(policy, 6, 7, heads, tokens);
        Assert.Equal([new AttentionProbe(6, ProbeReduction.Mean, -8, 1)], policy.GetProbes(3, 7));
        fixture.AssertImportance(ReferenceImportance.RecentWindow(fixture.Layers[0]));
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Head_normalized_window_is_that_of_the_reference(int tokens, int heads, int layers)
    {
        Fixture fixture = new(new HeadNormalizedWindow(), 0, layers, heads, tokens);
        Assert.Equal(layers, fixture.Layers.Length);
        fixture.AssertImportance(ReferenceImportance.HeadNormalizedWindow(fixture.Layers));
    }

    [Fact]
    public void Head_normalized_window_probes_the_last_four_layers_of_the_stage()
    {
        HeadNormalizedWindow policy = new();
        Assert.Equal([6, 7, 8, 9], policy.GetProbes(0, 10).Select(p => p.Layer));
        Assert.Equal([4, 5], policy.GetProbes(4, 6).Select(p => p.Layer));
        Assert.All(
            policy.GetProbes(0, 10),
            p => Assert.Equal((ProbeReduction.Max, -24, 1), (p.Reduction, p.FirstQuery, p.Stride))
        );
    }

    [Fact]
    public void One_sharp_head_among_many_decides_the_head_normalized_window_but_not_the_mean()
    {
        // 15 heads dwell on token 60, one looks at token 200
        const int Tokens = 300;
        const int Heads = 16;
        float[] scores = new float[Heads * Tokens];
        for (int head = 0; head < Heads; head++)
        {
            Span<float> row = scores.AsSpan(head * Tokens, Tokens);
            row.Fill(0.5f / Tokens);
            row[head == 0 ? 200 : 60] += head == 0 ? 0.4f : 0.2f;
        }

        Assert.Equal(200, ArgMax(new HeadNormalizedWindow(), scores, Heads, Tokens), 7.0);
        Assert.Equal(60, ArgMax(new RecentWindow(), scores, Heads, Tokens), 3.0);
    }

    [Fact]
    public void A_head_without_attention_is_ignored()
    {
        float[] scores = new float[2 * 50];
        scores.AsSpan(50).Fill(0.01f);
        scores[50 + 10] = 0.5f;
        float[] importance = Compute(new HeadNormalizedWindow(), scores, 2, 50);
        Assert.All(importance, x => Assert.True(float.IsFinite(x)));
    }

    [Fact]
    public void Most_recent_ascends_and_random_repeats()
    {
        float[] recent = Compute(new MostRecent(), [], 0, 100);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (float)i), recent);

        float[] random = Compute(new RandomImportance(3), [], 0, 100);
        Assert.Equal(random, Compute(new RandomImportance(3), [], 0, 100));
        Assert.NotEqual(random, Compute(new RandomImportance(4), [], 0, 100));
        Assert.True(random.Distinct().Count() > 90);
        Assert.Equal("random:3", new RandomImportance(3).Name);
    }

    [Fact]
    public void A_wrong_length_is_refused() =>
        Assert.Throws<ArgumentException>(() =>
            new MostRecent().ComputeImportance(
                new BoundaryProbes(5, [], [], (ReadOnlySpan<ReadOnlyMemory<float>>)[]),
                new float[4]
            )
        );

    [Fact]
    public void Missing_probes_are_refused()
    {
        foreach (
            IImportancePolicy policy in (IImportancePolicy[])
                [new RecentWindow(), new HeadNormalizedWindow(), new AttentionContextContribution()]
        )
        {
            ArgumentException e = Assert.Throws<ArgumentException>(() => Compute(policy, [], 0, 10));
            Assert.Contains(policy.Name, e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Matrices_that_do_not_fit_the_tokens_are_refused() =>
        Assert.Throws<ArgumentException>(() =>
            new BoundaryProbes(5, [new AttentionProbe(0, ProbeReduction.Mean, 0)], [2], [new float[9]])
        );

    [Fact]
    public void Probe_of_the_sequence_has_more_keys_than_there_are_tokens()
    {
        AttentionProbe probe = new(0, ProbeReduction.Max, -1, Keys: ProbeKeys.Sequence);
        BoundaryProbes probes = new(2, [probe], [2], [new float[] { 1, 2, 3, 4, 5, 6 }]);
        Assert.Equal(3, probes.KeyCount(0));
        Assert.Equal<float>([4, 5, 6], probes.Scores(0, 1));
        Assert.Throws<ArgumentException>(() => new BoundaryProbes(2, [probe], [2], [new float[5]]));
        Assert.Throws<ArgumentException>(() => new BoundaryProbes(2, [probe], [2], [new float[2]]));
    }

    [Fact]
    public void Native_matrices_are_read_in_place()
    {
        float[] scores = [.. Enumerable.Range(0, 2 * 50).Select(i => (float)i)];
        using PinnedGCHandle<float[]> pinned = new(scores);
        nint pointer = Marshal.UnsafeAddrOfPinnedArrayElement(scores, 0);
        BoundaryProbes probes = new(50, [new AttentionProbe(0, ProbeReduction.Mean, 0)], [2], [pointer]);
        Assert.Equal(1, probes.Count);
        Assert.Equal<float>(scores.AsSpan(50), probes.Scores(0, 1));
        float[] importance = new float[50];
        new AttentionContextContribution().ComputeImportance(probes, importance);
        Assert.Equal(25, importance[0]);

        // with keys in front of the tokens
        int[] positions = [0, 2, 5, .. Enumerable.Range(6, 47)];
        using PinnedGCHandle<int[]> pinnedPositions = new(positions);
        BoundaryProbes past = new(
            47,
            [new AttentionProbe(0, ProbeReduction.Mean, 0, Keys: ProbeKeys.Sequence)],
            [2],
            [pointer],
            [50],
            [Marshal.UnsafeAddrOfPinnedArrayElement(positions, 0)]
        );
        Assert.Equal<float>(scores.AsSpan(50), past.Scores(0, 1));
        Assert.Equal<int>(positions, past.KeyPositions(0));
    }

    private static double ArgMax(IImportancePolicy policy, float[] scores, int heads, int tokens)
    {
        float[] importance = Compute(policy, scores, heads, tokens);
        return Array.IndexOf(importance, importance.Max());
    }

    private static float[] Compute(IImportancePolicy policy, float[] scores, int heads, int tokens)
    {
        float[] importance = new float[tokens];
        if (heads == 0)
        {
            policy.ComputeImportance(
                new BoundaryProbes(tokens, [], [], (ReadOnlySpan<ReadOnlyMemory<float>>)[]),
                importance
            );
        }
        else
        {
            policy.ComputeImportance(
                new BoundaryProbes(tokens, [new AttentionProbe(0, ProbeReduction.Mean, -8)], [heads], [scores]),
                importance
            );
        }

        return importance;
    }

    private sealed class Fixture
    {
        private readonly IImportancePolicy _policy;
        private readonly AttentionProbe[] _probes;
        private readonly int[] _headCounts;
        private readonly ReadOnlyMemory<float>[] _scores;
        private readonly int _tokens;

        public Fixture(IImportancePolicy policy, int begin, int end, int heads, int tokens)
        {
            _policy = policy;
            _tokens = tokens;
            _probes = [.. policy.GetProbes(begin, end)];
            _headCounts = [.. _probes.Select(_ => heads)];
            _scores = new ReadOnlyMemory<float>[_probes.Length];
            Layers = new double[_probes.Length][][];
            Random random = new(tokens);
            for (int probe = 0; probe < _probes.Length; probe++)
            {
                float[] scores = new float[heads * tokens];
                for (int i = 0; i < scores.Length; i++)
                {
                    // a heavy tail, as attention has
                    scores[i] = (float)Math.Exp((4 * random.NextDouble()) - 8);
                }

                _scores[probe] = scores;
                Layers[probe] = [.. scores.Chunk(tokens).Select(row => row.Select(x => (double)x).ToArray())];
            }
        }

        // [probe, head, token]
        public double[][][] Layers { get; }

        public void AssertImportance(double[] expected)
        {
            float[] importance = new float[_tokens];
            _policy.ComputeImportance(new BoundaryProbes(_tokens, _probes, _headCounts, _scores), importance);
            for (int j = 0; j < _tokens; j++)
            {
                Assert.Equal(expected[j], importance[j], 1e-5 * (1 + Math.Abs(expected[j])));
            }
        }
    }
}
