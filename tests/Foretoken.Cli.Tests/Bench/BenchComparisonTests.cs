using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Bench;

public sealed class BenchComparisonTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Noise_alone_is_no_regression()
    {
        // 40 pairs of days without any change: with p-values for all rows together, hardly one may be called a change
        int called = Enumerable
            .Range(0, 40)
            .Count(day =>
                BenchComparison
                    .Of(BenchReports.Measured(day), BenchReports.Measured(1000 + day), force: false)
                    .Rows.Any(row => row.Verdict is not ComparedRow.Same)
            );

        Assert.InRange(called, 0, 5);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    public void A_planted_regression_is_found_and_nothing_else_is(int rounds)
    {
        BenchComparison comparison = BenchComparison.Of(
            BenchReports.Measured(1, rounds),
            BenchReports.Measured(2, rounds, what => what.Target == 2 ? 1.1 : 1),
            force: false
        );

        ComparedRow slower = Assert.Single(comparison.Rows, row => row.Verdict == ComparedRow.Slower);
        Assert.Equal("target 2", slower.Run);
        Assert.Equal(-0.09, slower.Change, 0.015);
        Assert.InRange(-0.0909, slower.Change95![0], slower.Change95[1]);
        Assert.DoesNotContain(comparison.Rows, row => row.Verdict == ComparedRow.Faster);
        Assert.Single(comparison.Regressions(0.05));
        Assert.Empty(comparison.Regressions(0.2));
    }

    [Fact]
    public void An_improvement_is_no_regression()
    {
        BenchComparison comparison = BenchComparison.Of(
            BenchReports.Measured(1),
            BenchReports.Measured(2, slowdown: _ => 0.8),
            force: false
        );

        Assert.All(comparison.Rows, row => Assert.Equal(ComparedRow.Faster, row.Verdict));
        Assert.Empty(comparison.Regressions(0));
    }

    [Fact]
    public void One_pair_says_nothing()
    {
        BenchComparison comparison = BenchComparison.Of(
            BenchReports.Measured(1, rounds: 1),
            BenchReports.Measured(2, rounds: 1, _ => 2),
            force: false
        );

        Assert.All(comparison.Rows, row => Assert.Equal(ComparedRow.Unknown, row.Verdict));
    }

    [Fact]
    public void Another_machine_or_model_is_refused_unless_forced()
    {
        BenchReport before = BenchReports.Measured(1);
        BenchReport machine = before with { Machine = before.Machine with { Cpu = "another CPU" } };
        BenchReport model = before with { Models = [before.Models[0] with { SizeBytes = 2 }] };
        BenchReport threads = before with { Settings = before.Settings with { Threads = 1 } };

        Assert.Contains("a CPU and another CPU", Refused(machine), StringComparison.Ordinal);
        Assert.Contains("2 bytes", Refused(model), StringComparison.Ordinal);
        Assert.Contains("threads 2 and 1", Refused(threads), StringComparison.Ordinal);
        Assert.Contains("--force", Refused(threads), StringComparison.Ordinal);
        Assert.Single(BenchComparison.Of(before, machine, force: true).Differences);

        string Refused(BenchReport after) =>
            Assert.Throws<CliException>(() => BenchComparison.Of(before, after, force: false)).Message;
    }

    [Fact]
    public void Results_without_a_common_row_are_refused()
    {
        BenchReport before = BenchReports.Measured(1);
        BenchReport other = before with { Rows = [.. before.Rows.Select(row => row with { PromptTokens = 7 })] };

        Assert.Contains(
            "no row in common",
            Assert.Throws<CliException>(() => BenchComparison.Of(before, other, force: true)).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task The_command_fails_on_a_regression_when_it_is_asked_to()
    {
        string before = _folder.Write("before.json", BenchReports.Measured(1).ToJson());
        string after = _folder.Write("after.json", BenchReports.Measured(2, slowdown: _ => 1.1).ToJson());

        Assert.Equal(ExitCode.Ok, await Run("bench", "--compare", before, after));
        Assert.Contains("SLOWER", _output.Output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Failed, await Run("bench", "--compare", before, after, "--fail-on-regression", "5"));
        Assert.Contains("beyond noise", _errors.Output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Ok, await Run("bench", "--compare", before, after, "--fail-on-regression", "30"));
    }

    [Fact]
    public async Task The_comparison_is_also_json()
    {
        string before = _folder.Write("before.json", BenchReports.Measured(1).ToJson());

        Assert.Equal(ExitCode.Ok, await Run("bench", "--compare", before, before, "--json"));

        using JsonDocument json = JsonDocument.Parse(_output.Output);
        Assert.All(
            json.RootElement.GetProperty("rows").EnumerateArray(),
            row => Assert.Equal(0, row.GetProperty("change").GetDouble())
        );
    }

    [Theory]
    [InlineData("{}", "format")]
    [InlineData("[]", "format")]
    [InlineData("nothing", "no result")]
    [InlineData("""{"format": 2}""", "no result")]
    public async Task What_is_no_result_is_refused(string text, string message)
    {
        string file = _folder.Write("file.json", text);

        Assert.Equal(ExitCode.Failed, await Run("bench", "--compare", file, file));
        Assert.Contains(message, _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_result_that_lacks_a_setting_is_refused()
    {
        string whole = BenchReports.Measured(1).ToJson();
        string file = _folder.Write(
            "file.json",
            whole.Replace("\"rpcServers\"", "\"other\"", StringComparison.Ordinal)
        );

        Assert.Equal(ExitCode.Failed, await Run("bench", "--compare", file, file));
        Assert.Contains("rpcServers", _errors.Output, StringComparison.Ordinal);
    }

    private Task<int> Run(params string[] line)
    {
        var parsed = ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line);
        Assert.Empty(parsed.Errors);
        return parsed.InvokeAsync();
    }
}
