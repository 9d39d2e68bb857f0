using Foretoken.Plans;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Tests.Tuning;

public class QualityTableTests
{
    [Fact]
    public void A_row_sums_up_the_prompts_of_one_kind_length_importance_and_target()
    {
        IReadOnlyList<QualityRow> rows = QualityTable.Summarize([
            Sample("retrieval-last", "a", kl: 0.1, full: true, thinned: true, fullMs: 200),
            Sample("retrieval-last", "a", kl: 0.3, full: true, thinned: false, fullMs: 300),
            Sample("retrieval-last", "a", kl: 0.5, full: false, thinned: null, fullMs: 1000),
            Sample("retrieval-last", "b", kl: 1, full: true, thinned: true, fullMs: 100),
            Sample("summary", "a", kl: 2, full: null, thinned: null, fullMs: 100),
        ]);
        Assert.Equal(3, rows.Count);
        QualityRow first = rows[0];
        Assert.Equal(("a", 2.0, "retrieval-last", 1024), (first.Importance, first.Target, first.Kind, first.Length));
        Assert.Equal((3, 1, 2), (first.Prompts, first.Answered, first.AnsweredByFullPrefill));
        Assert.Equal(0.3, first.Kl, 12);
        Assert.Equal(0.75, first.Agreement, 12);
        // the median of the ratios: an outlier of a busy machine does not count
        Assert.Equal(3, first.MeasuredSpeedup, 12);
        Assert.Null(rows[2].Answered);
        Assert.Null(rows[2].AnsweredByFullPrefill);
    }

    [Fact]
    public void Prompts_of_the_caller_make_one_row_whatever_their_lengths()
    {
        QualityRow row = Assert.Single(
            QualityTable.Summarize([
                Sample("summary", "a") with
                {
                    Length = 0,
                    PromptTokens = 300,
                },
                Sample("summary", "a") with
                {
                    Length = 0,
                    PromptTokens = 500,
                },
                Sample("summary", "a") with
                {
                    Length = 0,
                    PromptTokens = 900,
                },
            ])
        );
        Assert.Equal(500, row.Length);
    }

    [Fact]
    public void A_given_plan_makes_one_row_though_it_promises_something_else_each_time()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(6, 0.25)]);
        QualityRow row = Assert.Single(
            QualityTable.Summarize([
                Sample("summary", "a") with
                {
                    GivenPlan = plan,
                    Target = 2.4,
                },
                Sample("summary", "a") with
                {
                    GivenPlan = plan,
                    Target = 2.6,
                },
            ])
        );
        Assert.Equal(2.5, row.Target, 12);
        Assert.Equal(plan.ToString(), row.Plan);
    }

    [Fact]
    public void No_samples_make_no_rows() => Assert.Empty(QualityTable.Summarize([]));

    [Fact]
    public void The_median_is_the_middle()
    {
        Assert.Equal(2, QualityTable.Median([3, 1, 2]));
        Assert.Equal(2.5, QualityTable.Median([4, 1, 2, 3]));
        Assert.Throws<ArgumentException>(() => QualityTable.Median([]));
    }

    private static QualitySample Sample(
        string kind,
        string importance,
        double kl = 0,
        bool? full = null,
        bool? thinned = null,
        double fullMs = 200
    ) =>
        new()
        {
            Prompt = "p",
            Kind = kind,
            Length = 1024,
            PromptTokens = 1050,
            ThinnedTokens = 1050,
            Facts = [],
            Importance = importance,
            Target = 2,
            Plan = PrefillPlan.KeepAll,
            PromisedSpeedup = 2,
            FullPrefillMs = fullMs,
            PrefillMs = 100,
            KeptShare = 0.5,
            ForcedTokens = 16,
            Kl = kl,
            Agreement = 0.75,
            AnsweredByFullPrefill = full,
            Answered = thinned,
            FullAnswer = "",
            Answer = null,
        };
}
