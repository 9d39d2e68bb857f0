using System.Text.Json;
using Foretoken.Cli.Scale;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Scale;

public class ScaleCommandTests
{
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    [Fact]
    public async Task Time_is_operations_over_the_share_of_the_peak_that_is_reached()
    {
        // attention at the speed of matrix products, so that operations are all that counts
        JsonElement row = (
            await Rows(
                "--shape",
                "llama-3.1-8b",
                "--hardware",
                "tflops=100,bandwidth=1000,memory=80,matrix=0.5,attention=0.5",
                "--lengths",
                "8192",
                "--speeds",
                "2",
                "--boundary-ms",
                "0"
            )
        ).Single();
        using JsonDocument plan = JsonDocument.Parse(
            await Output("plan", "--shape", "llama-3.1-8b", "-n", "8192", "-s", "2", "--json")
        );
        double operations = plan.RootElement.GetProperty("plainOperations").GetDouble();

        Assert.Equal(operations / 50e12, row.GetProperty("plainTtftSeconds").GetDouble(), 1e-6);
        JsonElement planned = row.GetProperty("plans")[0];
        Assert.True(planned.GetProperty("isTargetReached").GetBoolean());
        Assert.Equal(
            row.GetProperty("plainTtftSeconds").GetDouble() / planned.GetProperty("ttftSeconds").GetDouble(),
            planned.GetProperty("promisedSpeedup").GetDouble(),
            1e-9
        );
    }

    [Fact]
    public async Task More_of_the_peak_makes_everything_faster_and_slow_attention_weighs_more_in_long_prompts()
    {
        const string Device = "tflops=100,bandwidth=1000,memory=80,matrix=0.5,attention=";
        JsonElement[] rows =
        [
            .. await Rows(
                "--shape",
                "llama-3.1-8b",
                "--hardware",
                Device + "0.5",
                "--hardware",
                Device + "0.1",
                "--lengths",
                "8192,65536"
            ),
        ];

        double Plain(int i) => rows[i].GetProperty("plainTtftSeconds").GetDouble();
        double Attention(int i) => rows[i].GetProperty("attentionShare").GetDouble();
        double Most(int i) => rows[i].GetProperty("reachableSpeedup").GetDouble();
        Assert.True(Plain(2) > Plain(0) && Plain(3) > Plain(1));
        Assert.True(Attention(1) > Attention(0) && Attention(2) > Attention(0) && Attention(3) > Attention(1));
        Assert.True(Most(1) > Most(0) && Most(3) > Most(1));
        // five times slower: what attention takes longer is all that differs
        Assert.Equal(Plain(1) * (1 + (4 * Attention(1))), Plain(3), 1e-6 * Plain(3));
    }

    [Fact]
    public async Task A_model_is_spread_over_as_many_devices_as_hold_its_weights_and_its_cache()
    {
        JsonElement[] rows =
        [
            .. await Rows("--shape", "llama-3.1-70b", "--hardware", "h100", "--lengths", "8192,131072"),
        ];

        // 40 GB of weights; keys and values of 80 layers, 8 heads of 128, f16
        Assert.Equal(2L * 2 * 80 * 1024 * 131072, rows[1].GetProperty("kvBytes").GetInt64());
        Assert.Equal(1, rows[0].GetProperty("devices").GetInt32());
        Assert.Equal(2, rows[1].GetProperty("devices").GetInt32());
        foreach (JsonElement plan in rows[1].GetProperty("plans").EnumerateArray())
        {
            Assert.True(plan.GetProperty("kvBytes").GetInt64() < rows[1].GetProperty("kvBytes").GetInt64());
        }
    }

    [Theory]
    [InlineData("--lengths", "100", "too-short")]
    [InlineData("--always-kept", "4096", "always-kept")]
    [InlineData("--lengths", "8192", "schedule")]
    public async Task The_fastest_plan_says_what_bounds_it(string option, string value, string limit)
    {
        string[] arguments = ["--shape", "llama-3.1-70b", "--hardware", "h200", option, value];
        JsonElement row = (await Rows(arguments))[0];

        Assert.Equal(limit, row.GetProperty("bound").GetProperty("limit").GetString());
        Assert.InRange(row.GetProperty("bound").GetProperty("belowFirstBoundary").GetDouble(), 0.1, 1);
        Assert.InRange(row.GetProperty("bound").GetProperty("overheads").GetDouble(), 0, 0.9);
    }

    [Fact]
    public async Task Reading_the_weights_bounds_what_has_next_to_nothing_to_compute()
    {
        JsonElement row = (
            await Rows(
                "--shape",
                "llama-3.1-8b",
                "--hardware",
                "tflops=1000000,bandwidth=10,memory=80",
                "--lengths",
                "8192",
                "--boundary-ms",
                "0"
            )
        ).Single();

        Assert.Equal("memory-bandwidth", row.GetProperty("bound").GetProperty("limit").GetString());
        Assert.Equal(
            row.GetProperty("weightBytes").GetInt64() / 10e9,
            row.GetProperty("plainTtftSeconds").GetDouble(),
            1e-9
        );
        Assert.Equal(1, row.GetProperty("reachableSpeedup").GetDouble());
    }

    [Fact]
    public async Task Every_known_device_says_where_its_figures_come_from()
    {
        string text = await Output("scale", "--shape", "llama-3.1-8b", "--lengths", "8192");

        foreach (string name in Hardware.Names)
        {
            Hardware device = Hardware.Parse(name);
            Assert.Contains("### " + device.Description, text, StringComparison.Ordinal);
            Assert.Contains("Source: " + device.Source, text, StringComparison.Ordinal);
        }
        Assert.Contains("nothing here was measured", _errors.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("h1000", "There is no hardware named 'h1000'. Known: epyc-9654")]
    [InlineData("tflops=2,memory=4", "'bandwidth' is missing")]
    [InlineData("h100,matrix=2", "is a share of the peak")]
    [InlineData("h100,watts=2", "'watts' in 'h100,watts=2' is no figure of a device")]
    [InlineData("h100,memory=-1", "is not a figure above 0")]
    public async Task Hardware_that_is_not_known_is_answered_with_what_is_possible(string hardware, string message)
    {
        Assert.Equal(1, await Run("scale", "--hardware", hardware));
        Assert.Contains(message, _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Figures_behind_a_name_replace_its_own()
    {
        Hardware changed = Hardware.Parse("h100,memory=94");

        Assert.Equal(94, changed.MemoryGB);
        Assert.Equal(Hardware.Parse("h100").PeakTflops, changed.PeakTflops);
        Assert.DoesNotContain("NVIDIA", changed.Source, StringComparison.Ordinal);
    }

    private async Task<IReadOnlyList<JsonElement>> Rows(params string[] arguments)
    {
        using JsonDocument json = JsonDocument.Parse(await Output(["scale", .. arguments, "--json"]));
        return [.. json.RootElement.GetProperty("rows").EnumerateArray().Select(row => row.Clone())];
    }

    private async Task<string> Output(params string[] arguments)
    {
        int before = _output.Output.Length;
        Assert.Equal(0, await Run(arguments));
        return _output.Output[before..];
    }

    private Task<int> Run(params string[] arguments) =>
        ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(arguments).InvokeAsync();
}
