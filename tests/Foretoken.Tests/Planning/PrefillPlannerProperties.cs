using Foretoken.Costs;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Tuning.Prompts;
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

    /// <summary>A counted cost, or one measured on a machine of whatever prices.</summary>
    private static readonly Gen<PrefillCost> AnyCost =
        from shape in AnyShape
        from isMeasured in Gen.Elements(false, true)
        from firstDeviceLayer in Gen.Choose(0, 96)
        from uBatchSize in Gen.Elements(32, 512, 2048)
        from exponents in Gen.Choose(-400, 400).ArrayOf(CostTerm.Count)
        select isMeasured
            ? (PrefillCost)Measured(shape, firstDeviceLayer, uBatchSize, exponents)
            : new CountedPrefillCost(shape);

    private static MeasuredPrefillCost Measured(ModelShape shape, int firstDeviceLayer, int uBatchSize, int[] exponents)
    {
        double[] prices = new SyntheticMachine(shape, seed: 1).Prices;
        for (int j = 0; j < prices.Length; j++)
        {
            // a hundredth to a hundred times of what is usual
            prices[j] *= Math.Pow(10, exponents[j] / 200.0);
        }

        return new MeasuredPrefillCost(
            shape,
            PrefillLayout.Of(shape, firstDeviceLayer, uBatchSize),
            prices,
            new double[CostTerm.Count, CostTerm.Count],
            0,
            0,
            1,
            1
        );
    }

    private static readonly Gen<PlanRequest> AnyRequest =
        from target in AnyTarget()
        from newTokens in Gen.Frequency((1, Gen.Choose(0, 400)), (4, Gen.Choose(256, 20_000)))
        from pastTokens in Gen.Frequency((2, Gen.Constant(0)), (1, Gen.Choose(0, 20_000)))
        from alwaysKept in Gen.Frequency((2, Gen.Constant(0)), (1, Gen.Choose(0, newTokens)))
        from probes in Gen.Elements(default, SyntheticMachine.Probes, new ProbeLoad(96, 0, 1))
        select new PlanRequest
        {
            TargetSpeedup = target,
            NewTokens = newTokens,
            PastTokens = pastTokens,
            AlwaysKept = alwaysKept,
            Probes = probes,
        };

    private static Gen<double> AnyTarget() =>
        Gen.Frequency(
            (1, Gen.Constant(1.0)),
            (8, Gen.Choose(1000, 5000).Select(x => x / 1000.0)),
            (1, Gen.Choose(5, 1000).Select(x => (double)x))
        );

    /// <summary>One to four schedules of one to three boundaries, some measured and some not; the last may be the default one.</summary>
    private static readonly Gen<PrefillPlannerOptions> AnyOptions =
        from schedules in AnySchedule().NonEmptyListOf()
        from withDefault in Gen.Elements(true, false)
        select new PrefillPlannerOptions
        {
            Schedules = withDefault ? [.. schedules.Take(3), PrefillSchedule.Default] : [.. schedules.Take(4)],
        };

    private static Gen<PrefillSchedule> AnySchedule() =>
        from boundaries in Gen.Choose(1, 3)
        from depths in Gen.Choose(1, 99).ArrayOf(boundaries).Where(d => d.Distinct().Count() == d.Length)
        from waypoints in Gen.Choose(1, 3)
        // factors by which retentions fall; few values, so that boundaries often agree at a waypoint
        from factors in Gen.Elements(0.1, 0.25, 0.5, 0.9, 1.0).ArrayOf(boundaries * waypoints)
        from steps in Gen.Choose(0, 400).ArrayOf(waypoints)
        from measured in Gen.Frequency((4, Gen.Constant(true)), (1, Gen.Constant(false)))
        select MakeSchedule(depths, waypoints, factors, measured ? steps : null);

    private static PrefillSchedule MakeSchedule(int[] depths, int waypoints, double[] factors, int[]? steps)
    {
        double[] retentions = [.. depths.Select(_ => 1.0)];
        double[][] points = new double[waypoints][];
        double[]? losses = steps is null ? null : new double[waypoints];
        for (int w = 0; w < waypoints; w++)
        {
            for (int i = 0; i < retentions.Length; i++)
            {
                double lower = retentions[i] * factors[(w * retentions.Length) + i];
                retentions[i] = Math.Min(lower, i > 0 ? retentions[i - 1] : 1);
            }

            points[w] = [.. retentions];
            if (losses is not null)
            {
                losses[w] = (w > 0 ? losses[w - 1] : 0) + (steps![w] / 1000.0);
            }
        }

        return new PrefillSchedule([.. depths.Order().Select(d => d / 100.0)], points, losses);
    }

    private static void ForAll(Action<PrefillPlanner, PlanRequest> holds) =>
        Check.One(
            Thorough,
            Prop.ForAll(
                AnyCost.Zip(AnyOptions).Zip(AnyRequest).ToArbitrary(),
                three => holds(new PrefillPlanner(three.Item1.Item1, three.Item1.Item2), three.Item2)
            )
        );

    private static void ForAllPairsOfTargets(
        Gen<PrefillPlannerOptions> options,
        Action<PrefillPlanner, PlanRequest, PlanRequest> holdsForSmallerAndLarger,
        int maxTest = 1000
    ) =>
        Check.One(
            Thorough.WithMaxTest(maxTest),
            Prop.ForAll(
                AnyCost.Zip(options).Zip(AnyRequest.Zip(AnyTarget())).ToArbitrary(),
                all =>
                {
                    ((PrefillCost cost, PrefillPlannerOptions any), (PlanRequest request, double other)) = all;
                    PrefillPlanner planner = new(cost, any);
                    double target = request.TargetSpeedup!.Value;
                    foreach (double near in (double[])[other, planner.Plan(request).PromisedSpeedup, target * 1.0003])
                    {
                        double second = Math.Clamp(near, 1, PrefillPlanner.MaxTargetSpeedup);
                        holdsForSmallerAndLarger(
                            planner,
                            request with
                            {
                                TargetSpeedup = Math.Min(target, second),
                            },
                            request with
                            {
                                TargetSpeedup = Math.Max(target, second),
                            }
                        );
                    }
                }
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
                    request.AlwaysKept,
                    request.Probes
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
                if (
                    (request.NewTokens >= 256 || planned.ReachableSpeedup > 1)
                    && request.TargetSpeedup <= planned.ReachableSpeedup
                )
                {
                    Assert.True(planned.IsTargetReached);
                }
            }
        );

    [Fact]
    public void With_measured_times_no_plan_is_expected_to_be_slower_than_plain_prefill() =>
        ForAll(
            (planner, request) =>
            {
                PlannedPrefill planned = planner.Plan(request);
                Assert.Equal(planner.CostModel.IsMeasured, planned.ExpectedTime is not null);
                if (planned is { ExpectedTime: { } expected, ExpectedPlainTime: { } plain })
                {
                    Assert.True(expected.Time <= plain.Time);
                    Assert.Equal(plain.Time / expected.Time, planned.PromisedSpeedup, planned.PromisedSpeedup * 1e-3);
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
    public void Along_one_schedule_a_larger_target_keeps_no_more_tokens_in_any_layer() =>
        ForAllPairsOfTargets(
            AnySchedule().Select(schedule => new PrefillPlannerOptions { Schedules = [schedule] }),
            (planner, smaller, larger) =>
            {
                int[] more = TokensPerLayer(planner, smaller);
                int[] less = TokensPerLayer(planner, larger);
                for (int layer = 0; layer < more.Length; layer++)
                {
                    Assert.True(less[layer] <= more[layer], $"layer {layer}: {less[layer]} > {more[layer]}");
                }
            }
        );

    [Fact]
    public void A_larger_target_never_costs_more() =>
        ForAllPairsOfTargets(
            AnyOptions,
            (planner, smaller, larger) => Assert.True(Cost(planner, larger) <= Cost(planner, smaller))
        );

    [Fact]
    public void Where_a_larger_target_changes_the_schedule_it_neither_costs_more_nor_expects_a_smaller_loss() =>
        ForAllPairsOfTargets(
            AnyOptions,
            (planner, smaller, larger) =>
            {
                // the very place of a change: hardly any pair of targets that is drawn straddles one by less than a token
                for (int i = 0; i < 50 && !Layers(planner, smaller).SequenceEqual(Layers(planner, larger)); i++)
                {
                    Assert.True(Cost(planner, larger) <= Cost(planner, smaller));
                    Assert.True(Loss(planner.Plan(larger)) >= Loss(planner.Plan(smaller)));
                    PlanRequest middle = smaller with
                    {
                        TargetSpeedup = (smaller.TargetSpeedup + larger.TargetSpeedup) / 2,
                    };
                    if (Layers(planner, middle).SequenceEqual(Layers(planner, smaller)))
                    {
                        smaller = middle;
                    }
                    else
                    {
                        larger = middle;
                    }
                }
            },
            maxTest: 500
        );

    [Fact]
    public void A_larger_target_never_expects_a_smaller_loss() =>
        ForAllPairsOfTargets(
            AnyOptions,
            (planner, smaller, larger) => Assert.True(Loss(planner.Plan(larger)) >= Loss(planner.Plan(smaller)))
        );

    [Fact]
    public void No_schedule_alone_reaches_the_target_with_a_smaller_loss() =>
        ForAll(
            (planner, request) =>
            {
                PlannedPrefill planned = planner.Plan(request);
                foreach (PrefillSchedule schedule in planner.Options.Schedules)
                {
                    PrefillPlanner alone = new(planner.CostModel, planner.Options with { Schedules = [schedule] });
                    PlannedPrefill other = alone.Plan(request);
                    if (other.IsTargetReached)
                    {
                        Assert.True(planned.IsTargetReached);
                        Assert.True(Loss(planned) <= Loss(other));
                    }
                }
            }
        );

    [Fact]
    public void A_quality_budget_is_kept_and_a_larger_one_is_never_slower() =>
        Check.One(
            Thorough,
            Prop.ForAll(
                AnyCost.Zip(AnyOptions).Zip(AnyRequest.Zip(Gen.Choose(1, 1500).Two())).ToArbitrary(),
                all =>
                {
                    ((PrefillCost cost, PrefillPlannerOptions options), (PlanRequest request, (int a, int b))) = all;
                    PrefillPlanner planner = new(cost, options);
                    // a budget alone, and beside a target
                    foreach (double? target in (double?[])[null, request.TargetSpeedup])
                    {
                        PlannedPrefill Plan(int thousandths) =>
                            planner.Plan(
                                request with
                                {
                                    TargetSpeedup = target,
                                    MaxQualityLoss = thousandths / 1000.0,
                                }
                            );
                        PlannedPrefill careful = Plan(Math.Min(a, b));
                        PlannedPrefill generous = Plan(Math.Max(a, b));
                        Assert.True(careful.ExpectedLoss <= Math.Min(a, b) / 1000.0);
                        Assert.True(careful.PromisedSpeedup <= generous.PromisedSpeedup);
                        Assert.True(careful.ExpectedLoss <= generous.ExpectedLoss);
                        if (target is not null)
                        {
                            PlannedPrefill unbounded = planner.Plan(request);
                            Assert.True(generous.PromisedSpeedup <= unbounded.PromisedSpeedup);
                            Assert.True(Loss(generous) <= Loss(unbounded));
                        }
                    }
                }
            )
        );

    [Fact]
    public void No_plan_within_a_quality_budget_is_faster() =>
        ForAll(
            (planner, request) =>
            {
                const double Budget = 0.2;
                PlannedPrefill planned = planner.Plan(request with { TargetSpeedup = null, MaxQualityLoss = Budget });
                PlannedPrefill any = planner.Plan(request);
                Assert.False(any.ExpectedLoss <= Budget && any.PromisedSpeedup > planned.PromisedSpeedup);
            }
        );

    [Fact]
    public void Thresholds_change_neither_shares_nor_promise_and_have_a_floor() =>
        ForAll(
            (planner, request) =>
            {
                PlannedPrefill share = planner.Plan(request);
                PlannedPrefill planned = planner.Plan(request with { UseThresholds = true });
                Assert.Equal(share.PromisedSpeedup, planned.PromisedSpeedup);
                int[] most = planned.Plan.TokensPerStage(request.NewTokens, request.AlwaysKept);
                int[] least = planned.Plan.LeastTokensPerStage(request.NewTokens, request.AlwaysKept);
                Assert.Equal(share.Plan.TokensPerStage(request.NewTokens, request.AlwaysKept), most);
                Assert.All(least.Zip(most), both => Assert.True(both.First <= both.Second));
                foreach (PlanBoundary boundary in planned.Plan.Boundaries)
                {
                    Assert.Equal(planner.Options.ThresholdFloor * boundary.Retention, boundary.MinRetention);
                }
            }
        );

    private static IEnumerable<int> Layers(PrefillPlanner planner, PlanRequest request) =>
        planner.Plan(request).Plan.Boundaries.Select(boundary => boundary.Layer);

    private static double Loss(PlannedPrefill planned) => planned.ExpectedLoss ?? double.PositiveInfinity;

    private static double Cost(PrefillPlanner planner, PlanRequest request) =>
        planner.CostModel.Cost(
            planner.Plan(request).Plan,
            request.NewTokens,
            request.PastTokens,
            request.AlwaysKept,
            request.Probes
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
