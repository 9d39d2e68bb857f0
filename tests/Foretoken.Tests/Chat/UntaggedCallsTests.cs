using System.Text;
using Foretoken.Chat;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>Calls that a model writes as JSON alone, without the tags of its template, are calls; everything else is text.</summary>
[Collection(nameof(TestModel))]
public sealed class UntaggedCallsTests(TestModel test)
{
    private const string Call = """{"name": "delete_files", "arguments": {"folder": "/tmp/ä{1}"}}""";

    private static readonly AIFunction Delete = AIFunctionFactory.Create(
        (string folder) => $"{folder} is gone",
        "delete_files"
    );

    private static readonly AIFunction List = AIFunctionFactory.Create(() => "a, b", "list_files");

    [Theory]
    [InlineData(Call)]
    [InlineData("\n " + Call + "\n")]
    [InlineData("```json\n" + Call + "\n```")]
    [InlineData("```\n" + Call + "\n```\n")]
    [InlineData("{\n  \"name\" : \"delete_files\",\n  \"parameters\": {\n    \"folder\": \"/tmp/ä{1}\"\n  }\n}")]
    public void An_answer_that_is_nothing_but_a_call_is_one(string answer)
    {
        (List<AIContent> contents, AnswerReader reader) = Read(answer);
        FunctionCallContent call = Assert.IsType<FunctionCallContent>(Assert.Single(contents));
        Assert.Equal("delete_files", call.Name);
        Assert.Equal("/tmp/ä{1}", call.Arguments!["folder"]!.ToString());
        Assert.Matches("^[A-Za-z0-9]{9}$", call.CallId);
        Assert.Empty(reader.RefusedCalls);
        Assert.Null(reader.ParseError);
    }

    [Theory]
    [InlineData("It is done.")]
    [InlineData("{\"folder\": \"/tmp\"}")]
    [InlineData("{\"name\": \"Bob\", \"arguments\": {}}")]
    [InlineData("{\"name\": \"delete_files_soon\", \"arguments\": {}}")]
    [InlineData("{\"name\": \"delete_files\"}")]
    [InlineData("{\"name\": \"delete_files\", \"arguments\": \"all\"}")]
    [InlineData("{\"name\": \"delete_files\", \"arguments\": {\"folder\": \"/tmp\"}, \"sure\": false}")]
    [InlineData("Do not write " + Call)]
    [InlineData(Call + " would delete them.")]
    [InlineData("```json\n" + Call + "\n```\nwould delete them.")]
    [InlineData("```python\nprint(1)\n```")]
    [InlineData("``")]
    [InlineData("[" + Call + "]")]
    public void Everything_else_stays_the_text_that_it_is(string answer)
    {
        (List<AIContent> contents, AnswerReader reader) = Read(answer);
        Assert.DoesNotContain(contents, content => content is FunctionCallContent);
        Assert.Equal(answer, Text(contents));
        Assert.Empty(reader.RefusedCalls);
    }

    [Theory]
    [InlineData(Call)]
    [InlineData("```json\n" + Call)]
    public void A_call_cut_at_any_place_is_text(string answer)
    {
        for (int length = 0; length < answer.Length; length++)
        {
            (List<AIContent> contents, AnswerReader reader) = Read(answer[..length]);
            Assert.DoesNotContain(contents, content => content is FunctionCallContent);
            Assert.Equal(answer[..length].Trim(), Text(contents).Trim());
            Assert.Equal(answer[..length].Contains('{', StringComparison.Ordinal), reader.RefusedCalls.Count > 0);
        }
    }

    [Fact]
    public void A_call_that_does_not_fit_is_text()
    {
        const string Wrong = """{"name": "delete_files", "arguments": {"folder": 7}}""";
        foreach (string answer in (string[])[Wrong, "```json\n" + Wrong + "\n```", Wrong + "\n" + Call])
        {
            (List<AIContent> contents, AnswerReader reader) = Read(answer);
            Assert.DoesNotContain(contents, content => content is FunctionCallContent);
            Assert.Equal(answer, Text(contents));
            Assert.Contains("folder", reader.RefusedCalls[0].Reason, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Several_calls_are_so_many_where_they_are_allowed_and_the_first_and_text_where_not()
    {
        const string Second = """{"name": "list_files", "arguments": {}}""";
        (List<AIContent> contents, AnswerReader reader) = Read(Call + "\n" + Second, several: true);
        Assert.Equal(["delete_files", "list_files"], contents.Cast<FunctionCallContent>().Select(call => call.Name));
        Assert.Empty(reader.RefusedCalls);

        foreach (string second in (string[])[Second, Second[..^9]])
        {
            (contents, reader) = Read(Call + "\n" + second);
            Assert.Equal("delete_files", Assert.Single(contents.OfType<FunctionCallContent>()).Name);
            Assert.Equal(second, Text(contents));
            Assert.Single(reader.RefusedCalls);
        }
    }

    [Theory]
    [InlineData("{\"x")]
    [InlineData("{\"name\": \"B")]
    [InlineData("```p")]
    [InlineData("Y")]
    public void Text_is_held_back_only_as_long_as_it_may_become_a_call(string beginning)
    {
        string said = "";
        using Reading reading = new(test, several: false);
        foreach (Rune c in beginning.EnumerateRunes())
        {
            Assert.Equal("", said);
            said += Text(reading.Reader.Append(c.ToString()));
        }
        Assert.Equal(beginning, said);
    }

    [Fact]
    public void A_demanded_call_is_read_in_the_format_of_the_template_alone()
    {
        using Reading reading = new(test, several: false, ChatToolMode.RequireAny);
        Assert.Null(reading.Prompt.Untagged);
    }

    private static string Text(List<AIContent> contents) =>
        string.Concat(contents.OfType<TextContent>().Select(content => content.Text));

    private (List<AIContent> Contents, AnswerReader Reader) Read(string answer, bool several = false)
    {
        using Reading reading = new(test, several);
        List<AIContent> contents = [];
        foreach (Rune c in answer.EnumerateRunes())
        {
            contents.AddRange(reading.Reader.Append(c.ToString()));
        }
        Assert.DoesNotContain(contents, content => content is FunctionCallContent);
        contents.AddRange(reading.Reader.Finish());
        return (contents, reading.Reader);
    }

    private sealed class Reading : IDisposable
    {
        private readonly RequestRenderer _renderer;

        internal Reading(TestModel test, bool several, ChatToolMode? mode = null)
        {
            ChatRequest request = ChatRequest.Create(
                [new(ChatRole.User, "Delete the old files.")],
                new()
                {
                    Tools = [Delete, List],
                    AllowMultipleToolCalls = several,
                    ToolMode = mode,
                },
                new(),
                NullLogger.Instance
            );
            _renderer = new RequestRenderer(
                test.Model,
                new() { ChatTemplate = ToolTemplate.Text },
                NullLogger.Instance
            );
            Prompt = _renderer.Render(request);
            Reader = new AnswerReader(test.Model, Prompt, request);
        }

        internal ChatPrompt Prompt { get; }

        internal AnswerReader Reader { get; }

        public void Dispose()
        {
            Prompt.Dispose();
            _renderer.Dispose();
        }
    }
}
