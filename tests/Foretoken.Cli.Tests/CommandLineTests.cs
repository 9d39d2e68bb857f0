using System.CommandLine;
using Foretoken.Cli.Chat;
using Foretoken.Cli.Console;
using Foretoken.Cli.Scale;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests;

/// <summary>What holds for every option of every command.</summary>
public sealed class CommandLineTests
{
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    public static TheoryData<string, string> Numbers => Options(IsNumber);

    public static TheoryData<string, string> Texts =>
        Options(type => type == typeof(string) || type == typeof(string[]));

    [Theory]
    [MemberData(nameof(Numbers))]
    public void Every_number_is_refused_in_words(string command, string option)
    {
        foreach (string text in (string[])["abc", "2.5x", "NaN", "1e999", "0x10", "1 2", "--", "２k", "1;2,5"])
        {
            string error = ErrorAbout(command, option, text);
            Assert.DoesNotContain("System.", error, StringComparison.Ordinal);
            Assert.DoesNotContain("type", error, StringComparison.Ordinal);
            Assert.DoesNotContain("Int32", error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(Numbers))]
    public void A_decimal_comma_is_never_read_as_something_else(string command, string option)
    {
        Option found = Find(command, option);
        if (found.ValueType == typeof(double[]))
        {
            Assert.Contains("write 0.7.", ErrorAbout(command, option, "0,7"), StringComparison.Ordinal);
            return;
        }
        if (found.ValueType == typeof(int[]))
        {
            Assert.Contains("write 4096.", ErrorAbout(command, option, "4.096"), StringComparison.Ordinal);
            return;
        }
        string advice = IsWhole(found.ValueType) ? "write one such as 512." : "write 2.5.";
        Assert.Contains(advice, ErrorAbout(command, option, "2,5"), StringComparison.Ordinal);
        Assert.Contains(advice, ErrorAbout(command, option, "2,5x"), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Texts))]
    public void Every_text_that_is_empty_is_refused(string command, string option)
    {
        if (option == "--system")
        {
            // an empty system prompt leaves it to the model's template
            Assert.Empty(ChatCommand.Create(_ => Task.FromResult(0)).Parse([option, ""]).Errors);
            return;
        }
        Assert.Contains("empty", ErrorAbout(command, option, ""), StringComparison.Ordinal);
        Assert.Contains("empty", ErrorAbout(command, option, "  "), StringComparison.Ordinal);
    }

    [Fact]
    public void All_verbs_are_looked_at()
    {
        Assert.True(Numbers.Count > 40, $"{Numbers.Count} options for numbers");
        Assert.True(Texts.Count > 40, $"{Texts.Count} options for texts");
    }

    [Theory]
    [InlineData("tune --skips", "")]
    [InlineData("tune --skips --held-out 1", "")]
    [InlineData("tune --skips --held-out 0", "say --held-out 1 or more")]
    [InlineData("tune --skips --lora a.gguf", "")]
    [InlineData("tune --lora a.gguf", "say --skips")]
    [InlineData("quality --lora a.gguf --full-without-lora", "")]
    [InlineData("quality --full-without-lora", "--lora")]
    [InlineData("bench --force", "--compare")]
    public void Options_that_need_others_are_refused_without_them(string line, string advice)
    {
        string errors = string.Join(
            '\n',
            Root("foretoken").Parse(line.Split(' ')).Errors.Select(error => error.Message)
        );
        if (advice.Length == 0)
        {
            Assert.Empty(errors);
        }
        else
        {
            Assert.Contains(advice, errors, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("help", "quality")]
    [InlineData("HELP", "quality")]
    [InlineData("help bench", "--targets")]
    [InlineData("bench --help", "--targets")]
    [InlineData("help tune", "compare")]
    [InlineData("help tune compare", "--learned-only")]
    public async Task Help_is_a_verb_as_well(string line, string expected)
    {
        Assert.Equal(0, await Invoke(line.Split(' ')));
        Assert.Contains(expected, _output.Output, StringComparison.Ordinal);
        Assert.Empty(_errors.Output);
    }

    [Fact]
    public async Task What_cannot_be_understood_is_said_with_where_help_is()
    {
        Assert.Equal(ExitCode.Usage, await Invoke("bench", "--max-minutes", "2,5"));
        Assert.Equal(
            "error: --max-minutes: '2,5' is not a number, because of its comma: write 2.5.\n--help lists commands and options.\n",
            _errors.Output.ReplaceLineEndings("\n")
        );
        Assert.Empty(_output.Output);
    }

    [Fact]
    public async Task A_list_that_may_have_been_one_number_is_said_and_used()
    {
        Assert.Equal(
            0,
            await Invoke(
                "scale",
                "--speeds",
                "2,3",
                "--lengths",
                "8192",
                "--shape",
                "llama-3.1-8b",
                "--hardware",
                Hardware.Names[0]
            )
        );
        Assert.Contains("--speeds 2,3 is read as 2 and 3", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_script_has_every_verb_that_the_readme_names_and_the_program_knows()
    {
        string root = Path.GetDirectoryName(RepositoryFolder.Find("samples"))!;
        string script = File.ReadAllText(Path.Combine(root, "run"));
        HashSet<string> verbs =
        [
            .. script
                .Split('\n')
                .SkipWhile(line => !line.StartsWith("case $verb in", StringComparison.Ordinal))
                .Where(line => line.StartsWith("    ", StringComparison.Ordinal) && line.Contains(')'))
                .SelectMany(line => line[..line.IndexOf(')')].Split('|', StringSplitOptions.TrimEntries)),
        ];
        string[] pages = [Path.Combine(root, "README.md"), .. Directory.GetFiles(Path.Combine(root, "docs"), "*.md")];
        IEnumerable<string> named = pages
            .SelectMany(page => File.ReadAllText(page).Split("./run ").Skip(1))
            .Select(text => string.Concat(text.TakeWhile(c => char.IsAsciiLetter(c) || c == '-')))
            .Where(verb => verb.Length > 0);
        IEnumerable<string> known = ForetokenCommand
            .Create(new CliContext(_output, _errors))
            .Subcommands.Select(command => command.Name);

        Assert.Empty(named.Concat(known).Distinct().Except(verbs));
        Assert.All(
            verbs.Where(verb => verb.All(char.IsAsciiLetter)),
            verb =>
                Assert.Contains(
                    verb,
                    script[..script.IndexOf("set -euo", StringComparison.Ordinal)],
                    StringComparison.Ordinal
                )
        );
    }

    /// <summary>What is said about one value of an option on an otherwise complete line.</summary>
    private static string ErrorAbout(string command, string option, string text)
    {
        string[] line =
        [
            .. command == "chat" ? [] : command.Split(' '),
            .. command == "plan" && option != "--prompt-tokens" ? (string[])["--prompt-tokens", "100"] : [],
            .. command == "plan" && option != "--target" ? (string[])["--target", "2"] : [],
            .. command == "split" ? (string[])["in.gguf", "out"] : [],
            .. option == "--lora" && command == "tune" ? (string[])["--skips"] : [],
            .. option == "--fail-on-regression" ? (string[])["--compare", "a.json", "b.json"] : [],
            // a value of its own may be empty, and one behind = may look like an option
            .. text.Trim().Length == 0 ? (string[])[option, text] : [$"{option}={text}"],
            .. option == "--compare" ? (string[])["b.json"] : [],
        ];
        string errors = string.Join(
            '\n',
            Root(command)
                .Parse(line)
                .Errors.Select(error => error.Message)
                .Where(message => message.StartsWith(option, StringComparison.Ordinal))
        );
        Assert.True(errors.Length > 0, $"{string.Join(' ', line)} is not refused");
        return errors;
    }

    private static Command Root(string command) =>
        command == "chat"
            ? ChatCommand.Create(_ => Task.FromResult(0))
            : ForetokenCommand.Create(new CliContext(new TestConsole(), new TestConsole()));

    private static Option Find(string command, string option)
    {
        Command root = Root(command);
        Command owner =
            command == "chat"
                ? root
                : command
                    .Split(' ')
                    .Aggregate(root, (above, name) => above.Subcommands.Single(one => one.Name == name));
        return owner.Options.Single(one => one.Name == option);
    }

    private static TheoryData<string, string> Options(Func<Type, bool> match)
    {
        TheoryData<string, string> found = [];
        foreach (Option option in Root("chat").Options.Where(option => match(option.ValueType)))
        {
            found.Add("chat", option.Name);
        }
        // the chat has been looked at
        foreach (Command command in Root("foretoken").Subcommands.Where(command => command.Name != ChatCommand.Name))
        {
            Add(command, command.Name);
        }
        return found;

        void Add(Command command, string line)
        {
            foreach (Option option in command.Options.Where(option => match(option.ValueType)))
            {
                found.Add(line, option.Name);
            }
            foreach (Command below in command.Subcommands)
            {
                Add(below, $"{line} {below.Name}");
            }
        }
    }

    private static bool IsWhole(Type type) =>
        (Nullable.GetUnderlyingType(type) ?? type) is var plain
        && (plain == typeof(int) || plain == typeof(long) || plain == typeof(uint) || plain == typeof(short));

    private static bool IsNumber(Type type) =>
        IsWhole(type)
        || type == typeof(int[])
        || type == typeof(double[])
        || (Nullable.GetUnderlyingType(type) ?? type) is var plain
            && (plain == typeof(double) || plain == typeof(float) || plain == typeof(decimal));

    private Task<int> Invoke(params string[] line) =>
        ForetokenCommand.InvokeAsync(new CliContext(_output, _errors), line);
}
