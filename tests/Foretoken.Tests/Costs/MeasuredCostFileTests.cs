using Foretoken.Costs;
using Foretoken.Interop;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Planning;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Costs;

/// <summary>What was measured survives the process, and nothing else is ever taken for it.</summary>
public sealed class MeasuredCostFileTests : IDisposable
{
    private static readonly NativeLibraryInfo Library = new("/lib/libllama.so", 1, "b8390", "abc", "{}");

    private readonly string _folder = Directory.CreateTempSubdirectory("foretoken-cost-").FullName;
    private readonly SyntheticMachine _machine = new(Shapes.SmolLM2, 1);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_profile_is_the_same_after_writing_and_reading()
    {
        CostTracker tracker = Open();
        Assert.Null(tracker.Profile);
        tracker.Replace([.. _machine.Calibrate(3, noise: 0.05)]);

        CostTracker again = Open();

        Assert.Null(again.TakeProblem());
        Assert.Equal(tracker.Profile!.Runs, again.Profile!.Runs);
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(8, 0.4)]);
        // a little changes: times are written in whole microseconds, and the machine may have drifted since
        Assert.InRange(again.Profile.Cost(plan, 1024) / tracker.Profile.Cost(plan, 1024), 0.97, 1.03);
        Assert.InRange(again.Profile.Speedup(plan, 1024) / tracker.Profile.Speedup(plan, 1024), 0.98, 1.02);
    }

    [Fact]
    public void Prefills_are_written_when_a_session_ends()
    {
        CostTracker tracker = Open();
        foreach (PrefillRun run in _machine.Calibrate(1))
        {
            tracker.Observe(run);
        }
        tracker.Flush();
        Assert.Equal(7, Open().Profile!.Runs);
        Assert.Single(Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{ \"format\": \"foretoken-cost-profile-1\" }")]
    [InlineData("{ \"format\": \"another\", \"key\": null, \"runs\": [] }")]
    public void A_damaged_file_is_said_so_ignored_and_made_again(string content)
    {
        Open().Replace([.. _machine.Calibrate(1)]);
        string path = Open().Path!;
        File.WriteAllText(path, content);

        CostTracker tracker = Open();

        Assert.Null(tracker.Profile);
        Assert.Contains(path, tracker.TakeProblem(), StringComparison.Ordinal);
        Assert.Null(tracker.TakeProblem());
        tracker.Replace([.. _machine.Calibrate(1)]);
        Assert.NotNull(Open().Profile);
    }

    [Fact]
    public void A_file_that_was_cut_or_holds_impossible_times_is_ignored()
    {
        Open().Replace([.. _machine.Calibrate(1)]);
        string path = Open().Path!;
        string whole = File.ReadAllText(path);
        foreach (
            string content in (string[])
                [
                    whole[..(whole.Length / 2)],
                    whole.Replace("\"chunks\":[[", "\"chunks\":[[-", StringComparison.Ordinal),
                    whole.Replace("\"chunks\":[[", "\"chunks\":[[99999,", StringComparison.Ordinal),
                    whole.Replace("\"chunks\":[[", "\"chunks\":[null,[", StringComparison.Ordinal),
                ]
        )
        {
            Assert.NotEqual(whole, content);
            File.WriteAllText(path, content);
            CostTracker tracker = Open();
            Assert.Null(tracker.Profile);
            Assert.NotNull(tracker.TakeProblem());
        }
    }

    [Fact]
    public void Times_of_other_settings_machines_builds_and_models_are_not_used()
    {
        CostKey key = Key();
        Open(key).Replace([.. _machine.Calibrate(1)]);
        CostKey[] others =
        [
            key with
            {
                Model = "other",
            },
            key with
            {
                Processor = "other",
            },
            key with
            {
                Cores = 999,
            },
            key with
            {
                Threads = 7,
            },
            key with
            {
                Devices = "gpu",
            },
            key with
            {
                FirstDeviceLayer = 3,
            },
            key with
            {
                UBatchSize = 256,
            },
            key with
            {
                KvCacheType = "Q8",
            },
            key with
            {
                FlashAttention = "Off",
            },
            key with
            {
                NativeBuild = "b1",
            },
            key with
            {
                Adapters = "a1",
            },
        ];
        foreach (CostKey other in others)
        {
            Assert.NotEqual(key.FileName("model"), other.FileName("model"));
            Assert.Null(Open(other).Profile);
        }

        // a file that was renamed or copied is found out, too
        string path = Open(key).Path!;
        File.Copy(path, Open(others[0]).Path!);
        CostTracker copied = Open(others[0]);
        Assert.Null(copied.Profile);
        Assert.Contains("another model", copied.TakeProblem(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_cannot_be_written_loses_the_file_and_not_the_profile()
    {
        string blocked = Path.Combine(_folder, "blocked");
        File.WriteAllText(blocked, "a file where a folder should be");
        CostTracker tracker = CostTracker.Open(_machine.Shape, Key(), "model.gguf", blocked);
        tracker.Replace([.. _machine.Calibrate(1)]);
        Assert.NotNull(tracker.Profile);
        Assert.Contains("could not be written", tracker.TakeProblem(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_settings_that_times_depend_on_make_the_key()
    {
        ModelOptions model = new();
        Assert.Equal("host", Key().Devices);
        Assert.Equal(30, Key().FirstDeviceLayer);
        Assert.Equal(128, Key(new SessionOptions { BatchSize = 128 }).UBatchSize);
        Assert.Equal(4, Key(new SessionOptions { Threads = 2, BatchThreads = 4 }).Threads);
        Assert.Equal(Key(new SessionOptions { ContextSize = 512 }), Key());
        model.RpcServers = ["a:1", "b:2"];
        Assert.Equal(
            "gpu layers -1, rpc a:1 b:2",
            CostKeys.Of("f", _machine.Shape, model, new SessionOptions(), Library).Devices
        );
    }

    private static CostKey Key(SessionOptions? options = null) =>
        CostKeys.Of("fingerprint", Shapes.SmolLM2, new ModelOptions(), options ?? new SessionOptions(), Library);

    private CostTracker Open(CostKey? key = null) =>
        CostTracker.Open(_machine.Shape, key ?? Key(), "model.gguf", _folder);
}
