using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Chat;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Tests.Sessions;

/// <summary>Times of real prefills, on a tiny model with random weights: what they are used for, never what they are.</summary>
public sealed class CalibrationTests : IDisposable
{
    private static readonly PrefillPlan Plan = PrefillPlan.FromBoundaries([new(2, 0.5), new(4, 0.25)]);

    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public CalibrationTests()
    {
        _model = _folder["model.gguf"];
        SyntheticModel.Write(
            _model,
            SyntheticModelSpec.Parse("layers=8,embd=128,heads=4,kv-heads=2,ffn=256,vocab=320")
        );
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Calibrated_once_every_session_and_process_promises_by_times()
    {
        using (ForetokenModel model = Load())
        using (ForetokenSession session = Create(model))
        {
            Assert.False(session.Cost.IsMeasured);
            List<double> progress = [];
            CalibrationResult result = session.Calibrate(null, new Reporter<double>(progress.Add));
            Assert.Same(result.Costs, session.Cost);
            Assert.True(result.Prefills >= 10);
            Assert.True(File.Exists(result.CachePath));
            Assert.Equal(0, session.TokenCount);
            Assert.Equal(progress.Order(), progress);
            Assert.Equal(1, progress[^1]);

            using ForetokenSession sibling = Create(model);
            Assert.True(sibling.Cost.IsMeasured);
            using ForetokenSession other = Create(model, uBatchSize: 64);
            Assert.False(other.Cost.IsMeasured);
        }

        using ForetokenModel again = Load();
        using ForetokenSession later = Create(again);
        Assert.True(later.Cost.IsMeasured);
        Assert.NotNull(
            MeasuredCostCache.Find(
                ModelFileCheck.Check(_model),
                new ModelOptions { CacheFolder = _folder["cache"] },
                new SessionOptions { Threads = 1, UBatchSize = 128 }
            )
        );

        PrefillReport report = later.Prefill(Prompt(600), new PrefillRequest { Plan = Plan });
        Assert.True(report.IsPromiseMeasured);
        Assert.True(report.ExpectedPrefillTime!.Value.Time > TimeSpan.Zero);
        Assert.InRange(report.PromiseStandardError!.Value, 0, 10);
        Assert.Equal(report.EstimatedPlainTime!.Value.Time / report.PrefillTime, report.AchievedSpeedup);
        Assert.NotNull(report.EstimatedPlainTime.Value.RelativeStandardError);
        using JsonDocument json = JsonDocument.Parse(report.ToJson());
        Assert.Equal(
            report.ExpectedPrefillTime.Value.Time.TotalMilliseconds,
            json.RootElement.GetProperty("expected_prefill_time").GetProperty("time_ms").GetDouble(),
            3
        );
        Assert.True(json.RootElement.GetProperty("is_promise_measured").GetBoolean());
    }

    [Fact]
    public void Times_of_chunks_add_up_to_those_of_stages()
    {
        using ForetokenModel model = Load();
        using ForetokenSession session = Create(model);
        PrefillReport report = session.Prefill(Prompt(600), new PrefillRequest { Plan = Plan });
        Assert.Equal([5, 3, 2], report.Stages.Select(stage => stage.Chunks));
        foreach (PrefillStageReport stage in report.Stages)
        {
            Assert.Equal(stage.Chunks, stage.ChunkTimes.Count);
            Assert.Equal(stage.Time.TotalMicroseconds, stage.ChunkTimes.Sum(time => time.TotalMicroseconds), 3);
        }
    }

    [Fact]
    public void Without_a_profile_the_report_counts_and_says_so()
    {
        using ForetokenModel model = Load();
        using ForetokenSession session = Create(model);
        PrefillReport report = session.Prefill(Prompt(600), new PrefillRequest { Plan = Plan });
        Assert.False(report.IsPromiseMeasured);
        Assert.Null(report.ExpectedPrefillTime);
        Assert.Null(report.EstimatedPlainTime!.Value.RelativeStandardError);
        Assert.True(report.AchievedSpeedup > 0);
        PrefillReport plain = session.Prefill(Prompt(300));
        Assert.Null(plain.AchievedSpeedup);
        Assert.Null(plain.EstimatedPlainTime);
    }

    [Fact]
    public void Real_prefills_teach_and_their_times_outlive_the_session()
    {
        using (ForetokenModel model = Load())
        {
            using (ForetokenSession session = Create(model))
            {
                for (int i = 0; i < 4; i++)
                {
                    session.Clear();
                    session.Prefill(Prompt(600), new PrefillRequest { Plan = Plan });
                }
            }
            using ForetokenSession next = Create(model);
            Assert.True(next.Cost.IsMeasured);
            Assert.True(next.Prefill(Prompt(600)).IsPromiseMeasured);
        }
        using ForetokenModel again = Load();
        using ForetokenSession later = Create(again);
        Assert.True(later.Cost.IsMeasured);
    }

    [Fact]
    public void The_times_of_prefills_with_an_adapter_are_its_own()
    {
        string file = TestAdapter.Write(_folder["tone.gguf"], ModelFileCheck.Check(_model).Shape!, 1, 0.1f);
        using (ForetokenModel model = Load())
        using (LoraAdapter tone = model.LoadAdapter(file))
        using (ForetokenSession session = Create(model))
        {
            for (int i = 0; i < 4; i++)
            {
                session.Clear();
                session.Prefill(Prompt(600), With(tone, 1 + i));
            }
            Assert.False(session.Cost.IsMeasured);
        }
        using ForetokenModel again = Load();
        using LoraAdapter loaded = again.LoadAdapter(file);
        using LoraAdapter other = again.LoadAdapter(TestAdapter.Write(_folder["law.gguf"], again.Shape, 2, 0.1f));
        using ForetokenSession later = Create(again);
        Assert.True(later.Prefill(Prompt(600), With(loaded, 0.5f)).IsPromiseMeasured);
        Assert.False(later.Prefill(Prompt(600), With(other, 0.5f)).IsPromiseMeasured);
        Assert.False(later.Prefill(Prompt(600), new PrefillRequest { Plan = Plan }).IsPromiseMeasured);

        // what is not known of an adapter is taken from the model without it
        later.Calibrate();
        Assert.True(later.Prefill(Prompt(600), With(other, 0.5f)).IsPromiseMeasured);

        static PrefillRequest With(LoraAdapter adapter, float scale) =>
            new() { Plan = Plan, Adapters = [new(adapter, scale)] };
    }

    [Fact]
    public void Without_cost_profiles_nothing_is_learned_and_nothing_is_cached()
    {
        using ForetokenModel model = ForetokenModel.Load(
            _model,
            new ModelOptions { UseMeasuredCosts = false, CacheFolder = _folder["cache"] }
        );
        using ForetokenSession session = Create(model);
        Assert.Throws<InvalidOperationException>(() => session.Calibrate());
        for (int i = 0; i < 4; i++)
        {
            session.Clear();
            session.Prefill(Prompt(600), new PrefillRequest { Plan = Plan });
        }
        Assert.False(session.Cost.IsMeasured);
        Assert.False(Directory.Exists(_folder["cache"]));
    }

    [Fact]
    public void A_session_that_cannot_be_staged_is_not_calibrated()
    {
        using ForetokenModel model = Load();
        using ForetokenSession session = model.CreateSession(new SessionOptions { ContextSize = 256, Staged = false });
        Assert.Throws<UnsupportedModelException>(() => session.Calibrate());
    }

    [Fact]
    public void A_cancelled_calibration_leaves_an_empty_session_that_works()
    {
        using ForetokenModel model = Load();
        using ForetokenSession session = Create(model);
        using CancellationTokenSource source = new();
        Assert.ThrowsAny<OperationCanceledException>(() =>
            session.Calibrate(null, new Reporter<double>(_ => source.Cancel()), source.Token)
        );
        Assert.Equal(0, session.TokenCount);
        Assert.Equal(300, session.Prefill(Prompt(300)).NewTokens);
    }

    [Fact]
    public void A_budget_too_short_for_anything_forgets_nothing()
    {
        using ForetokenModel model = Load();
        using ForetokenSession session = Create(model);
        session.Calibrate();
        CalibrationResult result = session.Calibrate(new CalibrationOptions { Budget = TimeSpan.FromTicks(1) });
        Assert.Null(result.Costs);
        Assert.True(session.Cost.IsMeasured);
    }

    [Fact]
    public async Task A_client_calibrates_and_its_log_says_what_promises_rest_on()
    {
        List<string> log = [];
        await using (ForetokenChatClient client = new(Options(log)))
        {
            CalibrationResult result = await client.CalibrateAsync();
            Assert.NotNull(result.Costs);
            ChatResponse response = await client.GetResponseAsync("x", new ChatOptions { MaxOutputTokens = 1 });
            Assert.True(response.GetPrefillReport()!.IsPromiseMeasured);
        }
        Assert.Contains(log, message => message.Contains("Calibrated", StringComparison.Ordinal));
        await using ForetokenChatClient later = new(Options(log));
        await later.LoadAsync();
        Assert.Contains(log, message => message.Contains("Plans rest on times", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_request_ends_a_calibration_that_nobody_waits_for()
    {
        List<string> log = [];
        await using ForetokenChatClient client = new(Options(log));
        Task calibration = client.CalibrateIfNewAsync(CancellationToken.None);
        ChatResponse response = await client.GetResponseAsync("x", new ChatOptions { MaxOutputTokens = 1 });
        await calibration;
        Assert.NotNull(response.GetPrefillReport());
        Assert.True(client.IdleSlots == 1);
    }

    [Fact]
    public async Task Warm_up_calibrates_only_what_is_new_and_only_if_it_may()
    {
        List<string> log = [];
        ForetokenChatClientOptions options = Options(log);
        options.Calibration = CalibrationMode.Never;
        await using ForetokenChatClient client = new(options);
        await client.CalibrateIfNewAsync(CancellationToken.None);
        Assert.DoesNotContain(log, IsCalibration);

        await using ForetokenChatClient first = new(Options(log));
        await first.CalibrateIfNewAsync(CancellationToken.None);
        Assert.Single(log, IsCalibration);
        await using ForetokenChatClient second = new(Options(log));
        await second.CalibrateIfNewAsync(CancellationToken.None);
        Assert.Single(log, IsCalibration);

        static bool IsCalibration(string message) => message.Contains("Calibrated", StringComparison.Ordinal);
    }

    private ForetokenModel Load() => ForetokenModel.Load(_model, new ModelOptions { CacheFolder = _folder["cache"] });

    private static ForetokenSession Create(ForetokenModel model, int uBatchSize = 128) =>
        model.CreateSession(
            new SessionOptions
            {
                ContextSize = 768,
                Threads = 1,
                UBatchSize = uBatchSize,
            }
        );

    private ForetokenChatClientOptions Options(List<string> log) =>
        new()
        {
            ModelPath = _model,
            CacheFolder = _folder["cache"],
            ContextSize = 512,
            UBatchSize = 128,
            Threads = 1,
            LoggerFactory = LoggerFactory.Create(builder =>
                builder.AddProvider(new ListLogger(log)).SetMinimumLevel(LogLevel.Information)
            ),
        };

    private static int[] Prompt(int length) => [.. Enumerable.Range(0, length).Select(i => (i * 37 % 300) + 3)];

    private sealed class Reporter<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }
}
