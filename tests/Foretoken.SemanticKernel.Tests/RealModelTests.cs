using System.ComponentModel;
using Foretoken.Chat;
using Foretoken.Sessions;
using Foretoken.Tests.Chat;
using Foretoken.Tests.Gguf;
using Foretoken.Tests.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace Foretoken.SemanticKernel.Tests;

/// <summary>A kernel on the real model.</summary>
[Collection(nameof(TestModel))]
public sealed class RealModelTests(TestModel test)
{
    [Fact]
    public async Task A_prompt_with_a_speedup_is_thinned_and_reports_it()
    {
        using ForetokenChatClient client = test.CreateClient();
        Kernel kernel = Kernel.CreateBuilder().AddForetokenChatCompletion(client).Build();
        KernelArguments arguments = new(new ForetokenPromptExecutionSettings { TargetTtftSpeedup = 2, MaxTokens = 8 })
        {
            ["document"] = Documents.Filler(5, 500),
        };

        FunctionResult result = await kernel.InvokePromptAsync("{{$document}}\n\nWhat is this text about?", arguments);

        PrefillReport report = result.GetPrefillReport()!;
        Assert.Equal(2, report.TargetSpeedup);
        Assert.True(report.Stages[^1].Tokens < report.NewTokens);
        Assert.NotEqual("", result.ToString());

        List<StreamingChatMessageContent> updates = await kernel
            .InvokePromptStreamingAsync<StreamingChatMessageContent>(
                "{{$document}}\n\nWhat is this text about?",
                arguments
            )
            .ToListAsync();
        Assert.Equal(result.ToString(), string.Concat(updates.Select(update => update.Content)));
        Assert.NotNull(updates[^1].GetPrefillReport());
    }

    [Fact]
    public async Task A_prompt_chooses_among_the_adapters_of_the_registered_client()
    {
        using TemporaryFolder folder = new();
        string tone = TestAdapter.Write(folder["tone.gguf"], test.Model.Shape, 1, 0.1f);
        Kernel kernel = Kernel
            .CreateBuilder()
            .AddForetokenChatCompletion(options =>
            {
                options.ModelPath = test.Path;
                options.Threads = TestModel.Threads;
                options.MaxOutputTokens = 1;
                options.Adapters = [new LoraAdapterOptions { Path = tone, Scale = 0.5f }];
            })
            .Build();
        using IDisposable services = (IDisposable)kernel.Services;

        Assert.Equal([new AdapterReport("tone", 0.5f)], await Ask(null));
        Assert.Equal([new AdapterReport("tone", 2)], await Ask(Named("tone", 2)));
        Assert.Empty(
            await Ask(new ForetokenPromptExecutionSettings { LoraAdapters = new Dictionary<string, float>() })
        );
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => Ask(Named("law", 1)));
        Assert.Contains("'tone'", error.Message, StringComparison.Ordinal);

        async Task<IReadOnlyList<AdapterReport>> Ask(PromptExecutionSettings? settings) =>
            (await kernel.InvokePromptAsync("Hello.", settings is null ? null : new KernelArguments(settings)))
                .GetPrefillReport()!
                .Adapters;

        static ForetokenPromptExecutionSettings Named(string name, float scale) =>
            new() { LoraAdapters = new Dictionary<string, float> { [name] = scale } };
    }

    [Fact]
    public async Task An_answer_in_a_json_schema_follows_it()
    {
        using ForetokenChatClient client = test.CreateClient();
        IChatCompletionService service = Kernel
            .CreateBuilder()
            .AddForetokenChatCompletion(client)
            .Build()
            .GetRequiredService<IChatCompletionService>();

        ChatMessageContent answer = await service.GetChatMessageContentAsync(
            "What is the capital of France?",
            new PromptExecutionSettings
            {
                ExtensionData = new Dictionary<string, object>
                {
                    ["response_format"] = new Dictionary<string, object>
                    {
                        ["type"] = "object",
                        ["properties"] = new Dictionary<string, object>
                        {
                            ["known"] = new Dictionary<string, object> { ["type"] = "boolean" },
                        },
                        ["required"] = new List<object> { "known" },
                    },
                },
            }
        );

        using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(answer.Content!);
        Assert.True(json.RootElement.TryGetProperty("known", out _));
    }

    [Fact]
    public async Task The_kernel_invokes_the_function_that_the_model_calls()
    {
        using ForetokenChatClient client = test.CreateClient(options =>
        {
            options.ChatTemplate = ToolTemplate.Text;
            options.MaxOutputTokens = 64;
        });
        Kernel kernel = Kernel.CreateBuilder().AddForetokenChatCompletion(client).Build();
        List<City> asked = [];
        kernel.Plugins.AddFromFunctions(
            "weather",
            [
                KernelFunctionFactory.CreateFromMethod(
                    ([Description("The city.")] City city) =>
                    {
                        asked.Add(city);
                        return "rain";
                    },
                    "current",
                    "The weather in a city."
                ),
            ]
        );
        First filter = new();
        kernel.AutoFunctionInvocationFilters.Add(filter);

        ChatHistory history = new();
        history.AddUserMessage("How is the weather in Oslo?");
        await kernel
            .GetRequiredService<IChatCompletionService>()
            .GetChatMessageContentAsync(
                history,
                new ForetokenPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Required() },
                kernel
            );

        Assert.True(Enum.IsDefined(Assert.Single(asked)));
        Assert.Equal("rain", filter.Result);
    }

    /// <summary>What the model has to choose from: a free text has no end that can be relied on.</summary>
    private enum City
    {
        Oslo,
        Rome,
    }

    /// <summary>Ends the request after the first call: a model this small would go on calling.</summary>
    private sealed class First : IAutoFunctionInvocationFilter
    {
        internal string? Result { get; private set; }

        public async Task OnAutoFunctionInvocationAsync(
            AutoFunctionInvocationContext context,
            Func<AutoFunctionInvocationContext, Task> next
        )
        {
            await next(context);
            Result = context.Result.GetValue<string>();
            context.Terminate = true;
        }
    }
}
