using System.Text.Json.Nodes;
using Foretoken.Chat;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>Functions for a template that knows of none: off by default, described in the system message, bound by a grammar.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class GenericToolsTests(TinyChatModel test)
{
    private static readonly AIFunction Lamp = AIFunctionFactory.Create(
        (bool on) => on ? "It is on." : "It is off.",
        "switch_lamp",
        "Switches the lamp."
    );

    [Fact]
    public async Task They_are_off_by_default()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = Templates.Plain);
        await Assert.ThrowsAsync<NotSupportedException>(() =>
            client.GetResponseAsync("Light!", new ChatOptions { Tools = [Lamp] })
        );
    }

    [Theory]
    [InlineData(nameof(Templates.Plain))]
    [InlineData(nameof(Templates.DescribesOnly))]
    public async Task A_demanded_call_comes_back_as_a_call_and_the_report_says_how(string template)
    {
        using ForetokenChatClient client = CreateClient(
            template == nameof(Templates.Plain) ? Templates.Plain : Templates.DescribesOnly
        );
        List<ChatMessage> history = [new(ChatRole.User, "Light!")];
        ChatOptions options = new() { Tools = [Lamp], ToolMode = ChatToolMode.RequireAny };
        ChatResponse response = await client.GetResponseAsync(history, options);
        FunctionCallContent call = Assert.IsType<FunctionCallContent>(Assert.Single(response.Messages[0].Contents));
        Assert.Equal("switch_lamp", call.Name);
        Assert.Matches("^[A-Za-z0-9]{9}$", call.CallId);
        Assert.IsType<bool>(((System.Text.Json.JsonElement)call.Arguments!["on"]!).GetBoolean());
        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
        Assert.True(response.GetPrefillReport()!.UsesGenericTools);

        history.AddMessages(response);
        history.Add(
            new(ChatRole.Tool, [new FunctionResultContent(call.CallId, await Lamp.InvokeAsync(new(call.Arguments)))])
        );
        ChatResponse answer = await client.GetResponseAsync(history, new ChatOptions { MaxOutputTokens = 4 });
        Assert.True(answer.Usage!.OutputTokenCount > 0);
        Assert.False(answer.GetPrefillReport()!.UsesGenericTools);
    }

    [Fact]
    public async Task Function_invocation_goes_round()
    {
        using ForetokenChatClient client = CreateClient(Templates.Plain);
        int calls = 0;
        AIFunction lamp = AIFunctionFactory.Create(
            (bool on) =>
            {
                calls++;
                return "done";
            },
            "switch_lamp"
        );
        // what a random model writes after the demanded call may be a call again
        using IChatClient pipeline = client
            .AsBuilder()
            .UseFunctionInvocation(configure: invoking => invoking.MaximumIterationsPerRequest = 1)
            .Build();
        ChatResponse response = await pipeline.GetResponseAsync(
            "Light!",
            new ChatOptions { Tools = [lamp], ToolMode = ChatToolMode.RequireAny }
        );
        Assert.Equal(1, calls);
        // every call of the model has its report
        ChatMessage[] said = [.. response.Messages.Where(message => message.Role == ChatRole.Assistant)];
        Assert.Equal(2, said.Length);
        Assert.NotSame(said[0].GetPrefillReport(), said[1].GetPrefillReport());
        Assert.Same(said[1].GetPrefillReport(), response.GetPrefillReport());
    }

    [Fact]
    public async Task A_choice_between_call_and_answer_is_described_and_text_stays_text()
    {
        using ForetokenChatClient client = CreateClient(Templates.Plain);
        ChatOptions options = new() { Tools = [Lamp], MaxOutputTokens = 6 };
        ChatResponse response = await client.GetResponseAsync("Light!", options);
        Assert.True(response.GetPrefillReport()!.UsesGenericTools);
        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.NotEqual("", response.Text);
        Assert.True(
            response.Usage!.InputTokenCount
                > client.GetService<PromptCounter>()!.CountTokens([new(ChatRole.User, "Light!")])
                    + Lamp.Description.Length / 8
        );
    }

    [Fact]
    public async Task Beside_functions_an_answer_has_the_shape_that_is_asked_for()
    {
        using ForetokenChatClient client = CreateClient(Templates.Plain);
        ChatOptions options = new()
        {
            Tools = [Lamp],
            ResponseFormat = ChatResponseFormat.ForJsonSchema(
                System.Text.Json.JsonElement.Parse("""{"type": "boolean"}""")
            ),
        };
        // a random model may do either
        ChatResponse response = await client.GetResponseAsync("Light!", options);
        AIContent content = Assert.Single(response.Messages[0].Contents);
        Assert.True(
            content is FunctionCallContent { Name: "switch_lamp" } || response.Text.Trim() is "true" or "false",
            response.Text
        );
        Assert.True(response.GetPrefillReport()!.UsesGenericTools);

        options.ToolMode = ChatToolMode.RequireAny;
        response = await client.GetResponseAsync("Light!", options);
        Assert.IsType<FunctionCallContent>(Assert.Single(response.Messages[0].Contents));
    }

    [Fact]
    public async Task A_template_with_a_format_of_its_own_keeps_it()
    {
        using ForetokenChatClient client = CreateClient(ToolTemplate.Text);
        ChatResponse response = await client.GetResponseAsync(
            "Light!",
            new ChatOptions { Tools = [Lamp], ToolMode = ChatToolMode.RequireAny }
        );
        Assert.False(response.GetPrefillReport()!.UsesGenericTools);
        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
    }

    [Fact]
    public void Functions_join_the_system_message_and_the_schema_binds_their_arguments()
    {
        JsonObject request = Parse(
            """
            {
              "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "x"}],
              "tools": [{"type": "function", "function": {"name": "walk", "description": "Walks.", "parameters": {
                "type": "object",
                "properties": {"to": {"$ref": "#/$defs/place"}},
                "required": ["to"],
                "$defs": {"place": {"enum": ["north", "south"]}}
              }}}],
              "tool_choice": "required"
            }
            """
        );
        GenericTools tools = GenericTools.Apply(request)!;
        Assert.Null(tools.LazyGrammar);
        Assert.False(request.ContainsKey("tools"));
        string system = (string)request["messages"]![0]!["content"]!;
        Assert.StartsWith("Be kind.\n\n", system, StringComparison.Ordinal);
        Assert.Contains("\"walk\"", system, StringComparison.Ordinal);
        JsonNode schema = request["json_schema"]!;
        Assert.Equal(1, (int)schema["properties"]!["tool_calls"]!["maxItems"]!);
        JsonNode choice = schema["properties"]!["tool_calls"]!["items"]!["anyOf"]![0]!;
        Assert.Equal("walk", (string)choice["properties"]!["name"]!["const"]!);
        string reference = (string)choice["properties"]!["arguments"]!["$ref"]!;
        JsonNode arguments = Follow(schema, reference);
        // a reference within the arguments went with them
        Assert.Equal("north", (string)Follow(schema, (string)arguments["properties"]!["to"]!["$ref"]!)["enum"]![0]!);
    }

    [Fact]
    public void With_a_schema_of_the_answer_the_model_may_call_or_answer_by_it()
    {
        JsonObject request = Parse(
            """
            {
              "messages": [{"role": "user", "content": "x"}],
              "tools": [{"type": "function", "function": {"name": "walk", "parameters": {"type": "object"}}}],
              "json_schema": {"type": "object", "properties": {"next": {"$ref": "#"}}}
            }
            """
        );
        Assert.Null(GenericTools.Apply(request)!.LazyGrammar);
        JsonNode schema = request["json_schema"]!;
        Assert.Equal(
            ["#/$defs/calls", "#/$defs/answer"],
            schema["anyOf"]!.AsArray().Select(choice => (string)choice!["$ref"]!)
        );
        Assert.Equal("#/$defs/answer", (string)Follow(schema, "#/$defs/answer")["properties"]!["next"]!["$ref"]!);
        Assert.Equal("system", (string)request["messages"]![0]!["role"]!);
    }

    [Fact]
    public void Calls_and_results_of_the_conversation_become_text_that_takes_turns()
    {
        JsonObject request = Parse(
            """
            {
              "messages": [
                {"role": "user", "content": "Go."},
                {"role": "assistant", "content": "", "tool_calls": [
                  {"id": "1", "type": "function", "function": {"name": "walk", "arguments": "{\"to\": \"north\"}"}},
                  {"id": "2", "type": "function", "function": {"name": "look", "arguments": "{}"}}
                ]},
                {"role": "tool", "tool_call_id": "1", "content": "walked"},
                {"role": "tool", "tool_call_id": "2", "content": "seen"},
                {"role": "user", "content": "And?"}
              ]
            }
            """
        );
        Assert.Null(GenericTools.Apply(request));
        JsonArray messages = request["messages"]!.AsArray();
        Assert.Equal(["user", "assistant", "user"], messages.Select(message => (string)message!["role"]!));
        JsonNode calls = JsonNode.Parse((string)messages[1]!["content"]!)!["tool_calls"]!;
        Assert.Equal("north", (string)calls[0]!["arguments"]!["to"]!);
        string told = (string)messages[2]!["content"]!;
        Assert.EndsWith("\n\nAnd?", told, StringComparison.Ordinal);
        JsonNode results = JsonNode.Parse(told[..^6])!["tool_results"]!;
        Assert.Equal("walk", (string)results[0]!["name"]!);
        Assert.Equal("seen", (string)results[1]!["result"]!);
    }

    [Fact]
    public void What_may_become_a_call_is_held_back_and_the_rest_is_not()
    {
        GenericTools tools = WalkAndLook();
        const string Answer =
            "Let me see {x}. { \"tool_calls\": [{\"name\": \"walk\", \"arguments\": {\"to\": \"{}\"}}]}";
        string passed = "";
        for (int length = 1; length < Answer.Length; length++)
        {
            ParsedAnswer partial = tools.Read(new ParsedAnswer { Content = Answer[..length] }, isPartial: true);
            Assert.Empty(partial.ToolCalls);
            Assert.DoesNotContain("tool", partial.Content, StringComparison.Ordinal);
            passed = partial.Content!;
        }
        Assert.Equal("Let me see {x}.", passed);
        ParsedAnswer whole = tools.Read(new ParsedAnswer { Content = Answer }, isPartial: false);
        Assert.Equal("Let me see {x}.", whole.Content);
        ParsedToolCall call = Assert.Single(whole.ToolCalls);
        Assert.Equal("walk", call.Name);
        Assert.Equal("{}", (string)JsonNode.Parse(call.Arguments!)!["to"]!);
    }

    [Theory]
    [InlineData("{\"tool_calls\": [{\"name\": \"fly\", \"arguments\": {}}]}")]
    [InlineData("{\"tool_calls\": [{\"name\": \"walk\", \"argum")]
    [InlineData("{\"tool_calls\": 5}")]
    [InlineData("{\"tool_calls\": [7]}")]
    [InlineData("{\"tool_calls\": [{\"name\": 3}]}")]
    [InlineData("{\"answer\": \"tool_calls\"}")]
    public void What_is_no_call_stays_text(string answer)
    {
        ParsedAnswer read = WalkAndLook()
            .Read(new ParsedAnswer { Content = answer, LastEnd = answer.Length }, isPartial: false);
        // what looked like a call is handed on as the text behind the content
        Assert.Equal(answer, read.Content + answer[read.LastEnd..]);
        Assert.Empty(read.ToolCalls);
    }

    private ForetokenChatClient CreateClient(string template) =>
        test.CreateClient(options =>
        {
            options.ChatTemplate = template;
            options.UseGenericTools = true;
            options.MaxOutputTokens = 200;
        });

    private static GenericTools WalkAndLook() =>
        GenericTools.Apply(
            Parse(
                """
                {
                  "messages": [{"role": "user", "content": "x"}],
                  "tools": [{"type": "function", "function": {"name": "walk"}}, {"type": "function", "function": {"name": "look"}}],
                  "tool_choice": "required"
                }
                """
            )
        )!;

    private static JsonObject Parse(string json) => JsonNode.Parse(json)!.AsObject();

    private static JsonNode Follow(JsonNode schema, string reference) =>
        reference.Split('/').Skip(1).Aggregate(schema, (node, step) => node[step]!);
}
