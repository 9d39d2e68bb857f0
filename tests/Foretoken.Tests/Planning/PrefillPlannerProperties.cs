using Foretoken.Planning;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Planning;

/// <summary>What holds for every model, prompt and target.</summary>
public class PrefillPlannerProperties
{
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(500);

    private static readonly Gen<ModelShape> AnyShape =
        from layers in Gen.Choose(1, 96)
        from headSize in Gen.Elements(32, 64, 128)
        from kvHeads in Gen.Choose(1, 8)
        from groups in Gen.Choose(1, 8)
        from feedForward in Gen.Choose(64, 16384)
        from vocabulary in Gen.Choose(256, 200_000)
        select new ModelShape
        {
            LayerCount = layers,
            EmbeddingSize = headSize * kvHeads * groups,
            HeadCount = kvHeads * groups,
            KvHeadCount = kvHeads,
            HeadSize = headSize,
            FeedForwardSize = feedForward,
            VocabularySize = vocabulary,
        };

    private static readonly Gen<PlanRequest> AnyRequest =
        from target in AnyTarget()
        from newTokens in Gen.Frequency((1, Gen.Choose(0, 400)), (4, Gen.Choose(256, 20_000)))
        from pastTokens in Gen.Frequency((2, Gen.Constant(0)), (1, Gen.Choose(0, 20_000)))
        from alwaysKept in Gen.Frequency((2, Gen.Constant(0)), (1, Gen.Choose(0, newTokens)))
        select new PlanRequest
        {
            TargetSpeedup = target,
            NewTokens = newTokens,
            PastTokens = pastTokens,
            AlwaysKept = alwaysKept,
        };

    private static Gen<double> AnyTarget() =>
        Gen.Frequency(
            (1, Gen.Constant(1.0)),
            (8, Gen.Choose(1000, 5000).Select(x => x / 1000.0)),
            (1, Gen.Choose(5, 1000).Select(x => (double)x))
        );

    private static void ForAll(Action<PrefillPlanner, PlanRequest> holds) =>
        Check.One(
            Thorough,
            Prop.ForAll(
                AnyShape.Zip(AnyRequest).ToArbitrary(),
                both => holds(new PrefillPlanner(both.Item1), both.Item2)
            )
        );

    [Fact]
    public void The_promise_is_the_estimate_of_the_plan() =>
        ForAll(
            (planner, request) =>
            {
                PlannedPrefill planned = planner.Plan(request);
                double estimate = planner.CostModel.Speedup(
                    planned.Plan,
                    request.NewTokens,
                    request.PastTokens,
                    request.AlwaysKept
                );
                Assert.Equal(estimate, planned.PromisedSpeedup);
                Assert.Equal(planned.PromisedSpeedup >= request.TargetSpeedup, planned.IsTargetReached);
            }
        );

    [Fact]
    public void No_promise_exceeds_what_is_said_to_be_reachable() =>
        ForAll(
            (planner, request) =>
            {
                PlannedPrefill planned = planner.Plan(request);
                Assert.True(planned.PromisedSpeedup <= planned.ReachableSpeedup);
                Assert.True(planned.PromisedSpeedup >= 1);
                if (request.NewTokens >= 256 && request.TargetSpeedup <= planned.ReachableSpeedup)
                {
                    Assert.True(planned.IsTargetReached);
                }
            }
        );

    [Fact]
    public void Target_one_keeps_everything() =>
        ForAll((planner, request) => Assert.True(planner.Plan(request with { TargetSpeedup = 1 }).Plan.IsKeepAll));

    [Fact]
    public void No_stage_keeps_fewer_tokens_than_are_always_kept() =>
        ForAll(
            (planner, request) =>
            {
                int always = Math.Max(request.AlwaysKept, Math.Min(36, request.NewTokens));
                foreach (int tokens in planner.Plan(request).Plan.TokensPerStage(request.NewTokens, request.AlwaysKept))
                {
                    Assert.InRange(tokens, always, request.NewTokens);
                }
            }
        );

    [Fact]
    public void Plans_fit_their_model() =>
        ForAll((planner, request) => planner.Plan(request).Plan.EnsureFits(planner.CostModel.Shape.LayerCount));

    [Fact]
    public void A_larger_target_keeps_no_more_tokens_in_any_layer() =>
        Check.One(
            Thorough,
            Prop.ForAll(
                AnyShape.Zip(AnyRequest).Zip(AnyTarget()).ToArbitrary(),
                three =>
                {
                    ((ModelShape shape, PlanRequest request), double other) = three;
                    PrefillPlanner planner = new(shape);
                    PlanRequest smaller = request with { TargetSpeedup = Math.Min(request.TargetSpeedup, other) };
                    PlanRequest larger = request with { TargetSpeedup = Math.Max(request.TargetSpeedup, other) };
                    int[] more = TokensPerLayer(planner, smaller);
                    int[] less = TokensPerLayer(planner, larger);
                    for (int layer = 0; layer < more.Length; layer++)
                    {
                        Assert.True(less[layer] <= more[layer], $"layer {layer}: {less[layer]} > {more[layer]}");
                    }
                }
            )
        );

    private static int[] TokensPerLayer(PrefillPlanner planner, PlanRequest request)
    {
        PrefillPlan plan = planner.Plan(request).Plan;
        int[] perStage = plan.TokensPerStage(request.NewTokens, request.AlwaysKept);
        int[] perLayer = new int[planner.CostModel.Shape.LayerCount];
        for (int layer = 0; layer < perLayer.Length; layer++)
        {
            perLayer[layer] = perStage[plan.Boundaries.Count(b => b.Layer <= layer)];
        }

        return perLayer;
    }
}
