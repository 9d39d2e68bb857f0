using System.ComponentModel;
using System.Text.Json;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using FunctionCallContent = Microsoft.Extensions.AI.FunctionCallContent;
using FunctionResultContent = Microsoft.Extensions.AI.FunctionResultContent;
using TextContent = Microsoft.Extensions.AI.TextContent;

namespace Foretoken.SemanticKernel.Tests;

/// <summary>Functions are invoked by Semantic Kernel, whichever way the client was registered.</summary>
public sealed class FunctionInvocationTests
{
    public static TheoryData<Registration> Registrations => [Registration.ChatCompletion, Registration.ChatClient];

    [Theory]
    [MemberData(nameof(Registrations))]
    public async Task The_kernel_invokes_what_the_model_calls_and_the_model_reads_the_result(Registration registration)
    {
        using ScriptedChatClient client = new(Call("Oslo"), new TextContent("It rains."));
        Weather weather = new();
        Kernel kernel = CreateKernel(client, registration, weather);

        FunctionResult result = await kernel.InvokePromptAsync("How is the weather in Oslo?", Auto());

        Assert.Equal("It rains.", result.ToString());
        Assert.Equal(["Oslo"], weather.Asked);
        AssertToldResult(client);
    }

    [Theory]
    [MemberData(nameof(Registrations))]
    public async Task Functions_are_invoked_while_an_answer_streams(Registration registration)
    {
        using ScriptedChatClient client = new(Call("Oslo"), new TextContent("It rains."));
        Weather weather = new();
        Kernel kernel = CreateKernel(client, registration, weather);

        List<string> pieces = await kernel
            .InvokePromptStreamingAsync<string>("How is the weather in Oslo?", Auto())
            .ToListAsync();

        Assert.EndsWith("It rains.", string.Concat(pieces), StringComparison.Ordinal);
        Assert.Equal(["Oslo"], weather.Asked);
        AssertToldResult(client);
    }

    [Theory]
    [InlineData(Registration.ChatCompletion, false)]
    [InlineData(Registration.ChatCompletion, true)]
    [InlineData(Registration.ChatClient, false)]
    [InlineData(Registration.ChatClient, true)]
    public async Task Arguments_of_any_type_arrive_as_the_model_writes_them(Registration registration, bool streams)
    {
        // what a client reads from a model: JSON
        Dictionary<string, object?> written = JsonElement
            .Parse(
                """{"unit": "Fahrenheit", "day": "2026-03-01T00:00:00", "count": 3, "exact": true, "place": {"Name": "Oslo"}, "names": ["a", "b"], "note": "7"}"""
            )
            .EnumerateObject()
            .ToDictionary(argument => argument.Name, argument => (object?)argument.Value);
        FunctionCallContent call = new("call-1", "weather_forecast", written);
        using ScriptedChatClient client = new(call, new TextContent("It rains."));
        string? arrived = null;
        Kernel kernel = CreateKernel(client, registration, new Weather());
        kernel.Plugins.Clear();
        kernel.ImportPluginFromFunctions(
            "weather",
            [
                KernelFunctionFactory.CreateFromMethod(
                    (Unit unit, DateTime day, int count, bool exact, Place place, string[] names, string note) =>
                        arrived =
                            $"{unit} {day:yyyy-MM-dd} {count} {exact} {place.Name} {string.Join('+', names)} {note}",
                    "forecast"
                ),
            ]
        );

        if (streams)
        {
            await kernel.InvokePromptStreamingAsync<string>("Forecast?", Auto()).ToListAsync();
        }
        else
        {
            await kernel.InvokePromptAsync("Forecast?", Auto());
        }

        Assert.Equal("Fahrenheit 2026-03-01 3 True Oslo a+b 7", arrived);
        // the answer of the client, which a cache may keep, is as it was
        Assert.IsType<JsonElement>(call.Arguments!["unit"]);
    }

    [Theory]
    [MemberData(nameof(Registrations))]
    public async Task Filters_of_the_kernel_see_the_call_and_may_end_the_request(Registration registration)
    {
        using ScriptedChatClient client = new(Call("Oslo"));
        Weather weather = new();
        Kernel kernel = CreateKernel(client, registration, weather);
        Ending filter = new();
        kernel.AutoFunctionInvocationFilters.Add(filter);

        await kernel.InvokePromptAsync("How is the weather in Oslo?", Auto());

        Assert.Equal("current_weather", filter.Function);
        Assert.Equal(["Oslo"], weather.Asked);
        Assert.Single(client.Requests);
    }

    [Theory]
    [MemberData(nameof(Registrations))]
    public async Task Without_automatic_invocation_the_call_is_the_answer(Registration registration)
    {
        using ScriptedChatClient client = new(Call("Oslo"));
        Weather weather = new();
        Kernel kernel = CreateKernel(client, registration, weather);

        await kernel.InvokePromptAsync(
            "How is the weather in Oslo?",
            new(
                new ForetokenPromptExecutionSettings
                {
                    FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false),
                }
            )
        );

        Assert.Empty(weather.Asked);
        Assert.Single(client.Requests);
        Assert.Single(client.Options[0]!.Tools!);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_call_that_the_caller_invokes_names_plugin_and_function_and_goes_back_under_the_model_s_name(
        bool streams
    )
    {
        using ScriptedChatClient client = new(Call("Oslo"), new TextContent("It rains."));
        Weather weather = new();
        Kernel kernel = CreateKernel(client, Registration.ChatCompletion, weather);
        IChatCompletionService service = kernel.GetRequiredService<IChatCompletionService>();
        ForetokenPromptExecutionSettings settings = new()
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false),
        };
        ChatHistory history = new("You answer briefly.");
        history.AddUserMessage("How is the weather in Oslo?");

        Microsoft.SemanticKernel.FunctionCallContent call;
        if (streams)
        {
            FunctionCallContentBuilder builder = new();
            await foreach (
                StreamingChatMessageContent update in service.GetStreamingChatMessageContentsAsync(
                    history,
                    settings,
                    kernel
                )
            )
            {
                builder.Append(update);
            }
            // Semantic Kernel adds the call of a streamed answer to the history by itself
            call = Assert.Single(builder.Build());
            Assert.Equal(AuthorRole.Assistant, history[^1].Role);
        }
        else
        {
            ChatMessageContent answer = await service.GetChatMessageContentAsync(history, settings, kernel);
            call = Assert.Single(Microsoft.SemanticKernel.FunctionCallContent.GetFunctionCalls(answer));
            history.Add(answer);
        }
        Assert.Equal("weather", call.PluginName);
        Assert.Equal("current_weather", call.FunctionName);
        Assert.Equal("call-1", call.Id);

        history.Add((await call.InvokeAsync(kernel)).ToChatMessage());
        Assert.Equal(["Oslo"], weather.Asked);
        await service.GetChatMessageContentAsync(history, settings, kernel);
        Assert.Equal(
            "weather_current_weather",
            Assert.Single(client.Requests[1].SelectMany(message => message.Contents).OfType<FunctionCallContent>()).Name
        );
        AssertToldResult(client);
    }

    [Fact]
    public async Task The_choice_of_functions_reaches_the_client()
    {
        using ScriptedChatClient client = new(new TextContent("a"), new TextContent("b"), new TextContent("c"));
        Kernel kernel = CreateKernel(client, Registration.ChatCompletion, new Weather());
        IChatCompletionService service = kernel.GetRequiredService<IChatCompletionService>();

        await Ask(FunctionChoiceBehavior.Required(options: new() { AllowParallelCalls = true }));
        await Ask(FunctionChoiceBehavior.None());
        await Ask(null);

        Assert.Same(ChatToolMode.RequireAny, client.Options[0]!.ToolMode);
        Assert.True(client.Options[0]!.AllowMultipleToolCalls);
        Assert.Same(ChatToolMode.None, client.Options[1]!.ToolMode);
        Assert.Null(client.Options[2]!.Tools);

        Task Ask(FunctionChoiceBehavior? behavior) =>
            service.GetChatMessageContentAsync(
                "x",
                new ForetokenPromptExecutionSettings { FunctionChoiceBehavior = behavior },
                kernel
            );
    }

    [Fact]
    public async Task The_history_holds_the_call_and_its_result()
    {
        using ScriptedChatClient client = new(Call("Oslo"), new TextContent("It rains."));
        Kernel kernel = CreateKernel(client, Registration.ChatCompletion, new Weather());
        ChatHistory history = new("You answer briefly.");
        history.AddUserMessage("How is the weather in Oslo?");

        ChatMessageContent answer = await kernel
            .GetRequiredService<IChatCompletionService>()
            .GetChatMessageContentAsync(
                history,
                new ForetokenPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() },
                kernel
            );

        Assert.Equal("It rains.", answer.Content);
        Assert.Equal(
            [AuthorRole.System, AuthorRole.User, AuthorRole.Assistant, AuthorRole.Tool],
            history.Select(message => message.Role)
        );
    }

    [Theory]
    [MemberData(nameof(Registrations))]
    public async Task Settings_of_prompt_yaml_reach_the_client(Registration registration)
    {
        using ScriptedChatClient client = new(new TextContent("Hello."), new TextContent("Hello."));
        Kernel kernel = CreateKernel(client, registration, new Weather());
        KernelFunction function = KernelFunctionFactory.CreateFromPrompt(
            PromptYaml.Read(
                """
                name: greet
                template: Greet {{$name}}.
                input_variables:
                  - name: name
                execution_settings:
                  default:
                    target_ttft_speedup: 2.5
                    max_tokens: 12
                    min_p: 0.05
                    stop_sequences: [END, STOP]
                """
            )
        );

        await kernel.InvokeAsync(function, new() { ["name"] = "Ada" });
        await foreach (string _ in kernel.InvokeStreamingAsync<string>(function, new() { ["name"] = "Ada" })) { }

        Assert.All(
            client.Options,
            options =>
            {
                Assert.Equal(["END", "STOP"], options!.StopSequences);
                Assert.Equal(12, options.MaxOutputTokens);
                Assert.False(options.AdditionalProperties!.ContainsKey("stop_sequences"));
                Assert.Equal(2.5, options.AdditionalProperties["target_ttft_speedup"]);
                Assert.Equal(0.05f, options.AdditionalProperties["min_p"]);
            }
        );
        Assert.Equal(2, client.Options.Count);
        Assert.Equal("Greet Ada.", client.Requests[0][^1].Text);
    }

    private static FunctionCallContent Call(string city) =>
        new("call-1", "weather_current_weather", new Dictionary<string, object?> { ["city"] = city });

    private static KernelArguments Auto() =>
        new(new ForetokenPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() });

    private static Kernel CreateKernel(ScriptedChatClient client, Registration registration, Weather weather)
    {
        IKernelBuilder builder = Kernel.CreateBuilder();
        if (registration == Registration.ChatCompletion)
        {
            builder.AddForetokenChatCompletion(client);
        }
        else
        {
            builder.AddForetokenChatClient(client);
        }
        builder.Plugins.AddFromObject(weather, "weather");
        return builder.Build();
    }

    private static void AssertToldResult(ScriptedChatClient client)
    {
        Assert.Equal(2, client.Requests.Count);
        Assert.Equal("weather_current_weather", Assert.Single(client.Options[0]!.Tools!).Name);
        FunctionResultContent told = Assert.Single(
            client.Requests[1].SelectMany(message => message.Contents).OfType<FunctionResultContent>()
        );
        Assert.Equal("call-1", told.CallId);
        Assert.Contains("rain", told.Result!.ToString(), StringComparison.Ordinal);
    }

    public enum Registration
    {
        ChatCompletion,
        ChatClient,
    }

    private enum Unit
    {
        Celsius,
        Fahrenheit,
    }

    private sealed record Place(string Name);

    private sealed class Weather
    {
        internal List<string> Asked { get; } = [];

        [KernelFunction("current_weather")]
        [Description("The weather in a city.")]
        public string Current(string city)
        {
            Asked.Add(city);
            return "rain";
        }
    }

    private sealed class Ending : IAutoFunctionInvocationFilter
    {
        internal string? Function { get; private set; }

        public async Task OnAutoFunctionInvocationAsync(
            AutoFunctionInvocationContext context,
            Func<AutoFunctionInvocationContext, Task> next
        )
        {
            Function = context.Function.Name;
            await next(context);
            context.Terminate = true;
        }
    }
}
