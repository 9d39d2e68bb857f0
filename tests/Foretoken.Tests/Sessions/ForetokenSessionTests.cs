using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

[Collection(nameof(TestModel))]
public sealed class ForetokenSessionTests(TestModel test)
{
    private static readonly PrefillPlan Thin = PrefillPlan.FromBoundaries([new(6, 0.5), new(13, 0.25)]);

    [Fact]
    public void Keep_all_in_three_stages_gives_the_logits_of_plain_prefill()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession plain = test.CreateSession();
        using ForetokenSession staged = test.CreateSession();
        plain.Prefill(prompt);
        PrefillReport report = staged.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(5, 1), new(17, 1)]) }
        );
        Assert.Equal(3, report.Stages.Count);
        Assert.All(report.Stages, stage => Assert.Equal(300, stage.Tokens));
        Assert.Equal(plain.GetLogits(), staged.GetLogits());
        Assert.Equal(plain.KvBytes, staged.KvBytes);
        Assert.False(staged.IsThinned);
    }

    [Fact]
    public void Plain_prefill_gives_the_logits_of_an_unstaged_context()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession staged = test.CreateSession();
        using ForetokenSession stock = test.CreateSession(staged: false);
        staged.Prefill(prompt);
        PrefillReport report = stock.Prefill(prompt, new PrefillRequest { TargetTtftSpeedup = 2 });
        Assert.Equal(stock.GetLogits(), staged.GetLogits());
        Assert.Equal(1, report.PromisedSpeedup);
        Assert.Contains("staging", report.Reason, StringComparison.Ordinal);
        Assert.Throws<PlanUnreachableException>(() =>
            stock.Prefill(test.Prompt(300, seed: 2), new PrefillRequest { TargetTtftSpeedup = 2, Strict = true })
        );
        Assert.Throws<UnsupportedModelException>(() => stock.Prefill(prompt, new PrefillRequest { Plan = Thin }));
    }

    [Theory]
    [InlineData("head-normalized-window")]
    [InlineData("attention-context-contribution")]
    [InlineData("sampled-attention-context-contribution")]
    [InlineData("recent-window")]
    public void Dropped_positions_are_absent_above_the_boundary_and_the_report_says_so(string importance)
    {
        int[] prompt = test.Prompt(320);
        using ForetokenSession session = test.CreateSession();
        IImportancePolicy policy = ImportancePolicies.Get(importance);
        PrefillReport report = session.Prefill(prompt, new PrefillRequest { Plan = Thin, Importance = policy });
        Assert.Equal(policy.Name, report.Importance);
        Assert.Equal([320, 160, 80], report.Stages.Select(stage => stage.Tokens));
        Assert.Equal([1.0, 0.5, 0.25], report.Stages.Select(stage => stage.Retention));

        int[] all = [.. Enumerable.Range(0, 320)];
        int[]? below = null;
        foreach (PrefillStageReport stage in report.Stages)
        {
            int[] positions = session.GetPositions(stage.LayerBegin);
            for (int layer = stage.LayerBegin; layer < stage.LayerEnd; layer++)
            {
                Assert.Equal(positions, session.GetPositions(layer));
            }
            Assert.Equal(stage.Tokens, positions.Length);
            Assert.Empty(positions.Except(below ?? all));
            Assert.Equal([0, 1, 2, 3], positions[..4]);
            Assert.Equal(all[^32..], positions[^32..]);
            below = positions;
        }
        Assert.Equal(test.Model.Info.LayerCount, report.Stages[^1].LayerEnd);
        Assert.True(session.IsThinned);
    }

    [Fact]
    public void Thinned_cache_is_smaller_in_proportion()
    {
        int[] prompt = test.Prompt(320);
        using ForetokenSession session = test.CreateSession();
        long full = session.Prefill(prompt).KvBytes;
        session.Clear();
        long thinned = session.Prefill(prompt, new PrefillRequest { Plan = Thin }).KvBytes;
        int layers = test.Model.Info.LayerCount;
        double share = (6 + (7 * 0.5) + ((layers - 13) * 0.25)) / layers;
        Assert.Equal(full * share, thinned, full * 0.01);
    }

    [Fact]
    public void Protected_tokens_are_kept()
    {
        int[] prompt = test.Prompt(320);
        TokenOrigin[] origins = new TokenOrigin[320];
        Array.Fill(origins, TokenOrigin.User);
        origins.AsSpan(10, 40).Fill(TokenOrigin.System);
        origins.AsSpan(70, 3).Clear(); // of the template
        using ForetokenSession session = test.CreateSession();
        session.Prefill(
            prompt,
            new PrefillRequest
            {
                Plan = PrefillPlan.FromBoundaries([new(6, 0.5)]),
                Origins = origins,
                ProtectedSpans = [150..170, ^100..^90],
            }
        );
        int[] upper = session.GetPositions(20);
        Assert.Equal(160, upper.Length);
        IEnumerable<int> kept =
        [
            .. Enumerable.Range(10, 40),
            .. Enumerable.Range(70, 3),
            .. Enumerable.Range(150, 20),
            .. Enumerable.Range(220, 10),
        ];
        Assert.Empty(kept.Except(upper));
    }

    [Fact]
    public void Long_system_prompt_is_thinned_like_the_rest()
    {
        TokenOrigin[] origins = new TokenOrigin[320];
        Array.Fill(origins, TokenOrigin.System);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(
            test.Prompt(320),
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(6, 0.3)]), Origins = origins }
        );
        Assert.Equal(96, session.GetPositions(20).Length);
    }

    [Fact]
    public void Target_meets_its_promise_and_larger_targets_keep_less()
    {
        int[] prompt = test.Prompt(500);
        using ForetokenSession session = test.CreateSession();
        int kept = int.MaxValue;
        foreach (double target in (double[])[1, 1.5, 2.5])
        {
            session.Clear();
            PrefillReport report = session.Prefill(prompt, new PrefillRequest { TargetTtftSpeedup = target });
            Assert.Equal(target, report.TargetSpeedup);
            Assert.True(report.PromisedSpeedup >= target, $"{report.PromisedSpeedup} was promised for {target}");
            Assert.True(report.Stages[^1].Tokens < kept);
            kept = report.Stages[^1].Tokens;
            Assert.Equal(target == 1, report.Plan is null);
        }
    }

    [Theory]
    [InlineData(10, SelectionBound.LowerBound, 64)]
    [InlineData(70, SelectionBound.Threshold, 106)] // and the 36 that are always kept
    [InlineData(200, SelectionBound.UpperBound, 160)]
    public void A_threshold_keeps_what_passes_it_between_the_bounds_of_the_plan(
        int passing,
        SelectionBound bound,
        int kept
    )
    {
        using ForetokenSession session = test.CreateSession();
        PrefillPlan plan = PrefillPlan.FromBoundaries([
            new(6, 0.5) { MinRetention = 0.2 },
            new(13, 0.5) { MinRetention = 0.2 },
            new(20, 0.15),
        ]);
        // tokens 4 to 287 have the importances 284 to 1 and 0
        PrefillReport report = session.Prefill(
            test.Prompt(320),
            new PrefillRequest { Plan = plan, Importance = new FallingImportance(threshold: 284.5f - passing) }
        );

        Assert.Equal([320, kept, kept, 48], report.Stages.Select(stage => stage.Tokens));
        Assert.Equal(
            // the second boundary asks again, and by the same numbers all of them pass
            [SelectionBound.AllTokens, bound, SelectionBound.AllTokens, SelectionBound.Share],
            report.Stages.Select(stage => stage.Bound)
        );
        Assert.Equal([.. Enumerable.Range(0, kept - 32), .. Enumerable.Range(288, 32)], session.GetPositions(6));
        using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(report.ToJson());
        Assert.Equal("all_tokens", json.RootElement.GetProperty("stages")[0].GetProperty("bound").GetString());
    }

    [Fact]
    public void Thresholds_of_a_request_change_nothing_for_an_importance_that_has_none()
    {
        using ForetokenSession session = test.CreateSession();
        IImportancePolicy importance = ImportancePolicies.Get("head-normalized-window");
        PrefillReport share = session.Prefill(
            test.Prompt(500),
            new PrefillRequest { TargetTtftSpeedup = 2, Importance = importance }
        );
        session.Clear();
        PrefillReport asked = session.Prefill(
            test.Prompt(500),
            new PrefillRequest
            {
                TargetTtftSpeedup = 2,
                UseThresholds = true,
                Importance = importance,
            }
        );
        Assert.Equal(share.Stages.Select(stage => stage.Tokens), asked.Stages.Select(stage => stage.Tokens));
        Assert.Equal([SelectionBound.AllTokens, SelectionBound.Share], asked.Stages.Select(stage => stage.Bound));
    }

    [Fact]
    public void Thresholds_of_a_request_never_run_more_than_was_promised()
    {
        using ForetokenSession session = test.CreateSession();
        // learned importance has plans of its own
        PrefillReport share = session.Prefill(
            test.Prompt(500),
            new PrefillRequest { TargetTtftSpeedup = 2, Importance = ImportancePolicies.Get("head-normalized-window") }
        );
        foreach (
            (float threshold, SelectionBound bound) in new[]
            {
                (1000f, SelectionBound.LowerBound),
                (-1f, SelectionBound.UpperBound),
            }
        )
        {
            session.Clear();
            PrefillReport report = session.Prefill(
                test.Prompt(500),
                new PrefillRequest
                {
                    TargetTtftSpeedup = 2,
                    UseThresholds = true,
                    Importance = new FallingImportance(threshold),
                }
            );
            Assert.Equal(bound, report.Stages[1].Bound);
            Assert.Equal(share.PromisedSpeedup, report.PromisedSpeedup);
            Assert.InRange(report.Stages[1].Tokens, share.Stages[1].Tokens / 2, share.Stages[1].Tokens);
        }
    }

    [Fact]
    public void Quality_budget_without_measured_losses_is_plain_prefill_and_strictly_an_exception()
    {
        // losses are measured for the learned importance alone
        IImportancePolicy importance = ImportancePolicies.Get("recent-window");
        using ForetokenSession session = test.CreateSession();
        PrefillReport report = session.Prefill(
            test.Prompt(300),
            new PrefillRequest { MaxQualityLoss = 0.1, Importance = importance }
        );
        Assert.Null(report.Plan);
        Assert.Equal(0.1, report.MaxQualityLoss);
        Assert.Equal(0, report.ExpectedQualityLoss);
        Assert.Contains("not measured", report.Reason, StringComparison.Ordinal);
        Assert.Throws<QualityLossUnknownException>(() =>
            session.Prefill(
                test.Prompt(300, seed: 2),
                new PrefillRequest
                {
                    MaxQualityLoss = 0.1,
                    Importance = importance,
                    Strict = true,
                }
            )
        );
        Assert.Equal(300, session.TokenCount);
        PrefillRequest target = new() { TargetTtftSpeedup = 2, Importance = importance };
        Assert.Null(session.Prefill(test.Prompt(300, seed: 2), target).ExpectedQualityLoss);
        foreach (double loss in (double[])[0, -1, double.NaN, double.PositiveInfinity])
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => new PrefillRequest { MaxQualityLoss = loss });
        }
    }

    [Fact]
    public void Quality_budget_alone_decides_the_speed_and_target_1_beside_it_keeps_all()
    {
        PrefillSchedule measured = new(
            [0.2],
            [
                [0.2],
            ],
            [0.4]
        );
        PrefillPlanner planner = new(test.Model.Shape, new() { Schedules = [measured] });
        PrefillDecision decision = PrefillDecision.Make(
            planner,
            planner,
            null,
            new() { MaxQualityLoss = 0.2 },
            null,
            1000,
            0
        );
        Assert.InRange(decision.ExpectedLoss!.Value, 0.19, 0.2);
        Assert.True(decision.PromisedSpeedup > 1.3);
        Assert.Equal(decision.PromisedSpeedup, decision.Target);

        PrefillRequest careful = new() { MaxQualityLoss = 0.2, TargetTtftSpeedup = 1 };
        Assert.True(PrefillDecision.Make(planner, planner, null, careful, null, 1000, 0).Plan.IsKeepAll);
        Assert.True(
            PrefillDecision.Make(planner, planner, null, new() { MaxQualityLoss = 0.2 }, "no", 1000, 0).Plan.IsKeepAll
        );
    }

    [Fact]
    public void Short_prompt_is_not_thinned_and_the_report_says_why()
    {
        using ForetokenSession session = test.CreateSession();
        PrefillReport report = session.Prefill(test.Prompt(60), new PrefillRequest { TargetTtftSpeedup = 2 });
        Assert.Equal(1, report.PromisedSpeedup);
        Assert.Null(report.Plan);
        Assert.Contains("too few", report.Reason, StringComparison.Ordinal);
        Assert.Single(report.Stages);
    }

    [Fact]
    public void Report_is_json()
    {
        using ForetokenSession session = test.CreateSession();
        PrefillReport report = session.Prefill(test.Prompt(300), new PrefillRequest { TargetTtftSpeedup = 2 });
        using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(report.ToJson());
        System.Text.Json.JsonElement root = json.RootElement;
        Assert.Equal(2, root.GetProperty("target_speedup").GetDouble());
        Assert.Equal(300, root.GetProperty("new_tokens").GetInt32());
        Assert.Equal(report.Stages.Count, root.GetProperty("stages").GetArrayLength());
        Assert.True(root.GetProperty("prefill_time_ms").GetDouble() > 0);
        Assert.Equal(
            report.Plan!.Boundaries[0].Layer,
            root.GetProperty("plan").GetProperty("boundaries")[0].GetProperty("layer").GetInt32()
        );
    }

    [Fact]
    public void Unthinned_prefix_is_reused_and_gives_the_same_continuation()
    {
        int[] prompt = test.Prompt(250);
        int[] longer = [.. prompt[..200], .. test.Prompt(100, seed: 7)];
        using ForetokenSession session = test.CreateSession();
        using ForetokenSession fresh = test.CreateSession();
        session.Prefill(prompt);
        PrefillReport report = session.Prefill(longer);
        fresh.Prefill(longer);
        Assert.Equal(200, report.ReusedTokens);
        Assert.Equal(100, report.NewTokens);
        Assert.Equal(longer, session.Tokens.ToArray());
        Assert.Equal(test.Greedy(fresh, 8), test.Greedy(session, 8));
    }

    [Fact]
    public void Thinned_prefix_is_reused_by_a_later_turn_only()
    {
        int[] prompt = test.Prompt(300);
        PrefillRequest thin = new() { Plan = Thin };
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt, thin);
        List<int> answer = test.Greedy(session, 5);

        // the next turn of the same conversation
        int[] next = [.. prompt, .. answer, .. test.Prompt(40, seed: 3)];
        Assert.Equal(305, session.Prefill(next, new PrefillRequest { TargetTtftSpeedup = 2 }).ReusedTokens);

        // the same question again: all but the last token, whose logits are needed
        Assert.Equal(299, session.Prefill(prompt, new PrefillRequest { TargetTtftSpeedup = 2 }).ReusedTokens);

        // another question about the same document: the selection was made for the first one
        int[] other = [.. prompt[..250], .. test.Prompt(50, seed: 4)];
        Assert.Equal(0, session.Prefill(other, thin).ReusedTokens);

        // an exact request does not build on a thinned prefix
        session.Prefill(prompt, thin);
        PrefillReport exact = session.Prefill([.. prompt, .. answer]);
        Assert.Equal(0, exact.ReusedTokens);
        Assert.False(session.IsThinned);
    }

    [Fact]
    public void Only_new_tokens_are_thinned()
    {
        int[] prompt = test.Prompt(500);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 200));
        PrefillReport report = session.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(6, 0.3)]) }
        );
        Assert.Equal(200, report.ReusedTokens);
        int[] upper = session.GetPositions(20);
        Assert.Equal(200 + 90, upper.Length);
        Assert.Equal(Enumerable.Range(0, 200), upper[..200]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Probe_of_the_sequence_tells_what_new_tokens_pay_to_the_tokens_before_them(bool thinned)
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt, thinned ? new PrefillRequest { Plan = Thin } : null);
        int lower = session.GetPositions(2).Length;
        int[] upper = session.GetPositions(20);
        Assert.Equal(300, lower);
        Assert.Equal(thinned, upper.Length < 300);

        AttentionToThePast policy = new();
        PrefillReport report = session.Prefill(
            [.. prompt, .. test.Prompt(20, seed: 5)],
            // so few tokens are all kept
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(3, 0.9), new(21, 0.9)]), Importance = policy }
        );

        Assert.Equal(300, report.ReusedTokens);
        Assert.Equal(Enumerable.Range(0, 320), policy.Keys[2]);
        Assert.Equal([.. upper, .. Enumerable.Range(300, 20)], policy.Keys[20]);
        Assert.Equal(session.GetPositions(20), policy.Keys[20]);
        Assert.All(policy.Sums.Values, sum => Assert.Equal(1, sum, 2e-3));
    }

    [Fact]
    public void Rewound_session_continues_as_if_the_tokens_had_never_been()
    {
        int[] prompt = test.Prompt(100);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        float[] logits = session.GetLogits();
        test.Greedy(session, 6);
        session.Rewind(99);
        Assert.Equal(99, session.TokenCount);
        Assert.Throws<InvalidOperationException>(() => session.GetLogits());
        session.Decode(prompt[^1]);
        Assert.Equal(100, session.TokenCount);
        Assert.Equal(test.Model.Info.VocabularySize, session.GetLogits().Length);
        Assert.Equal(
            Array.IndexOf(logits, logits.Max()),
            Array.IndexOf(session.GetLogits(), session.GetLogits().Max())
        );
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Saved_state_continues_identically(bool thinned)
    {
        int[] prompt = test.Prompt(260);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt, thinned ? new PrefillRequest { Plan = Thin } : null);
        byte[] state = session.SaveState();
        int next = 100;
        session.Decode(next);
        List<int> expected = test.Greedy(session, 8);

        using ForetokenSession other = test.CreateSession();
        other.Prefill(test.Prompt(64, seed: 9));
        other.LoadState(state);
        Assert.Equal(prompt, other.Tokens.ToArray());
        Assert.Equal(thinned, other.IsThinned);
        other.Decode(next);
        Assert.Equal(expected, test.Greedy(other, 8));
        for (int layer = 0; layer < test.Model.Info.LayerCount; layer += 7)
        {
            Assert.Equal(session.GetPositions(layer), other.GetPositions(layer));
        }
    }

    [Fact]
    public void Damaged_state_is_refused_and_the_session_stays_usable()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        byte[] state = session.SaveState();
        Assert.Throws<StateMismatchException>(() => session.LoadState([]));
        Assert.Throws<StateMismatchException>(() => session.LoadState(state.AsSpan(0, state.Length / 2)));
        byte[] damaged = [.. state];
        damaged[^(state.Length / 2)] ^= 0xFF;
        damaged[(6 + 200) * 4] ^= 0xFF; // first byte of the native part
        Assert.Throws<StateMismatchException>(() => session.LoadState(damaged));
        Assert.Equal(0, session.TokenCount);
        session.Prefill(prompt);
        Assert.Equal(200, session.TokenCount);
    }

    [Fact]
    public void Prompt_longer_than_the_context_carries_the_numbers()
    {
        using ForetokenSession session = test.CreateSession(contextSize: 256);
        session.Prefill(test.Prompt(100));
        ContextFullException error = Assert.Throws<ContextFullException>(() => session.Prefill(test.Prompt(257)));
        Assert.Equal(257, error.Requested);
        Assert.Equal(256, error.Available);
        Assert.Equal(100, session.TokenCount);
        session.Prefill(test.Prompt(256));
        Assert.Throws<ContextFullException>(() => session.Decode(1));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(0.5)]
    [InlineData(1e9)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-1)]
    public void Impossible_speedups_are_refused(double speedup)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new PrefillRequest { TargetTtftSpeedup = speedup });
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new ForetokenChatClientOptions { TargetTtftSpeedup = speedup }
        );
    }

    [Fact]
    public void Strict_request_out_of_reach_changes_nothing()
    {
        using ForetokenSession session = test.CreateSession();
        session.Prefill(test.Prompt(100));
        Assert.Throws<PlanUnreachableException>(() =>
            session.Prefill(test.Prompt(320, seed: 2), new PrefillRequest { TargetTtftSpeedup = 500, Strict = true })
        );
        Assert.Equal(100, session.TokenCount);
        PrefillReport report = session.Prefill(
            test.Prompt(320, seed: 2),
            new PrefillRequest { TargetTtftSpeedup = 500 }
        );
        Assert.True(report.PromisedSpeedup < 500);
        Assert.Contains("out of reach", report.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Cancelling_between_chunks_leaves_the_session_as_it_was(int stage)
    {
        int[] prompt = test.Prompt(500);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 200));
        using CancellationTokenSource source = new();
        Reporter cancelling = new(progress =>
        {
            if (progress.Stage == stage)
            {
                source.Cancel();
            }
        });
        Assert.Throws<OperationCanceledException>(() =>
            session.Prefill(prompt, new PrefillRequest { Plan = Thin }, cancelling, source.Token)
        );
        Assert.Equal(200, session.TokenCount);
        Assert.Equal(200, session.GetPositions(0).Length);
        Assert.Equal(200, session.GetPositions(29).Length);

        PrefillReport report = session.Prefill(prompt);
        Assert.Equal(200, report.ReusedTokens);
        using ForetokenSession fresh = test.CreateSession();
        fresh.Prefill(prompt);
        Assert.Equal(test.Greedy(fresh, 4), test.Greedy(session, 4));
    }

    [Fact]
    public void Cancelling_inside_a_chunk_stops_it()
    {
        using ForetokenSession session = test.Model.CreateSession(
            new SessionOptions
            {
                ContextSize = 1024,
                UBatchSize = 1024,
                Threads = TestModel.Threads,
            }
        );
        using CancellationTokenSource source = new(TimeSpan.FromMilliseconds(30));
        Assert.ThrowsAny<OperationCanceledException>(() =>
            session.Prefill(test.Prompt(1000), cancellationToken: source.Token)
        );
        Assert.Equal(0, session.TokenCount);
        session.Prefill(test.Prompt(20));
        Assert.Equal(20, session.TokenCount);
    }

    [Fact]
    public void Exceptions_of_callbacks_come_through_and_change_nothing()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession session = test.CreateSession();
        Assert.Equal(
            "progress",
            Assert
                .Throws<InvalidDataException>(() =>
                    session.Prefill(prompt, progress: new Reporter(_ => throw new InvalidDataException("progress")))
                )
                .Message
        );
        Assert.Equal(
            "importance",
            Assert
                .Throws<InvalidDataException>(() =>
                    session.Prefill(prompt, new PrefillRequest { Plan = Thin, Importance = new FailingImportance() })
                )
                .Message
        );
        Assert.Equal(0, session.TokenCount);
        session.Prefill(prompt, new PrefillRequest { Plan = Thin });
        Assert.Equal(300, session.TokenCount);
    }

    [Fact]
    public void Progress_runs_from_the_first_chunk_to_the_whole()
    {
        List<PrefillProgress> reports = [];
        using ForetokenSession session = test.CreateSession();
        session.Prefill(test.Prompt(400), new PrefillRequest { Plan = Thin }, new Reporter(reports.Add));
        Assert.Equal([0, 1, 2], reports.Select(report => report.Stage).Distinct());
        Assert.Equal(reports.Select(report => report.Fraction).Order(), reports.Select(report => report.Fraction));
        Assert.Equal(1, reports[^1].Fraction, 1e-6);
        Assert.True(reports.Count >= 5);
    }

    [Fact]
    public void Wrong_arguments_are_refused()
    {
        using ForetokenSession session = test.CreateSession();
        Assert.Throws<ArgumentException>(() => session.Prefill([]));
        Assert.ThrowsAny<ArgumentException>(() => session.Prefill([-1]));
        Assert.ThrowsAny<ArgumentException>(() =>
            session.Prefill(test.Prompt(10), new PrefillRequest { Origins = new TokenOrigin[3] })
        );
        Assert.ThrowsAny<ArgumentException>(() =>
            session.Prefill(test.Prompt(10), new PrefillRequest { ProtectedSpans = [5..20] })
        );
        Assert.ThrowsAny<ArgumentException>(() =>
            session.Prefill(test.Prompt(10), new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(99, 0.5)]) })
        );
        Assert.Throws<ArgumentOutOfRangeException>(() => session.GetPositions(30));
        using Sampler sampler = test.Model.CreateSampler();
        Assert.Throws<InvalidOperationException>(() => session.Sample(sampler));
    }

    [Fact]
    public void Disposed_session_says_so()
    {
        ForetokenSession session = test.CreateSession();
        session.Dispose();
        session.Dispose();
        Assert.Throws<ObjectDisposedException>(() => session.Prefill([1]));
        Assert.Throws<ObjectDisposedException>(() => session.Decode(1));
        Assert.Throws<ObjectDisposedException>(() => session.KvBytes);
        Assert.Throws<ObjectDisposedException>(() => session.GetLogits());
    }

    private sealed class Reporter(Action<PrefillProgress> report) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => report(value);
    }

    // the last token pays its attention to all that each layer holds: its own token, the prompt before it, and no other key
    private sealed class AttentionToThePast : IImportancePolicy
    {
        public string Name => "attention-to-the-past";

        public Dictionary<int, int[]> Keys { get; } = [];

        public Dictionary<int, double> Sums { get; } = [];

        public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
            [
                new AttentionProbe(layerEnd - 1, ProbeReduction.Max, FirstQuery: -1, Keys: ProbeKeys.Sequence),
                new AttentionProbe(layerEnd - 1, ProbeReduction.Max, FirstQuery: -1),
            ];

        public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
        {
            int layer = probes[0].Layer;
            Keys[layer] = probes.KeyPositions(0).ToArray();
            // of the first head
            ReadOnlySpan<float> all = probes.Scores(0)[..probes.KeyCount(0)];
            ReadOnlySpan<float> stage = probes.Scores(1)[..probes.TokenCount];
            Sums[layer] = all.ToArray().Sum(x => (double)x);

            Assert.Equal(Keys[layer].Length, probes.KeyCount(0));
            Assert.Equal(probes.TokenCount, probes.KeyCount(1));
            Assert.Equal<int>(probes.KeyPositions(0)[^probes.TokenCount..], probes.KeyPositions(1));
            Assert.Equal<float>(all[^probes.TokenCount..], stage);
            importance.Clear();
        }
    }

    private sealed class FailingImportance : IImportancePolicy
    {
        public string Name => "failing";

        public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) => [];

        public void ComputeImportance(in BoundaryProbes probes, Span<float> importance) =>
            throw new InvalidDataException("importance");
    }
}
