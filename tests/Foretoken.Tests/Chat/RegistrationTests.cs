using Foretoken.Errors;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Foretoken.Tests.Chat;

/// <summary>Options from configuration, checked when the host starts, and the model loaded in the background.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class RegistrationTests(TinyChatModel test)
{
    [Fact]
    public void Options_come_from_a_section_of_the_configuration()
    {
        HostApplicationBuilder builder = Builder(
            ("Chat:ModelPath", test.Path),
            ("Chat:TargetTtftSpeedup", "2.5"),
            ("Chat:Importance", "recent-window"),
            ("Chat:Slots", "3"),
            ("Chat:ContextSize", "256"),
            ("Chat:Threads", "1"),
            ("Chat:KvCacheType", "Q8"),
            ("Chat:StrictSpeedup", "true"),
            ("Chat:Adapters:0:Path", "tone.gguf"),
            ("Chat:Adapters:0:Scale", "0.5"),
            ("Chat:Adapters:1:Path", "law.gguf"),
            ("Chat:Adapters:1:Name", "legal")
        );
        builder.Services.AddForetokenChatClient(builder.Configuration.GetSection("Chat"));
        using IHost host = builder.Build();
        ForetokenChatClientOptions options = host
            .Services.GetRequiredService<IOptions<ForetokenChatClientOptions>>()
            .Value;
        Assert.Equal(test.Path, options.ModelPath);
        Assert.Equal(2.5, options.TargetTtftSpeedup);
        Assert.Equal("recent-window", options.Importance);
        Assert.Equal(3, options.Slots);
        Assert.Equal(256, options.ContextSize);
        Assert.Equal(1, options.Threads);
        Assert.Equal(KvCacheType.Q8, options.KvCacheType);
        Assert.True(options.StrictSpeedup);
        Assert.Equal(
            [("tone.gguf", "tone", 0.5f), ("law.gguf", "legal", 1)],
            options.Adapters.Select(adapter => (adapter.Path, adapter.Name, adapter.Scale))
        );
        Assert.NotNull(options.LoggerFactory);
        Assert.Same(
            host.Services.GetRequiredService<ForetokenChatClient>(),
            host.Services.GetRequiredService<IChatClient>()
        );
    }

    [Fact]
    public void Model_session_and_speed_are_sections_of_their_own_in_the_configuration()
    {
        HostApplicationBuilder builder = Builder(
            ("Chat:ModelPath", test.Path),
            ("Chat:Model:UseMeasuredCosts", "false"),
            ("Chat:Session:ContextSize", "256"),
            ("Chat:Session:KvCacheType", "Q8"),
            ("Chat:Speed:TargetTtftSpeedup", "2.5"),
            ("Chat:Speed:MaxQualityLoss", "0.3"),
            ("Chat:Speed:UseThresholds", "true"),
            ("Chat:Speed:Importance", "recent-window"),
            ("Chat:Speed:Strict", "true"),
            ("Chat:Completion:Mode", "WhileAnswering"),
            ("Chat:Completion:Grade", "Exact"),
            ("Chat:Completion:ByOutputToken", "16"),
            ("Chat:Completion:MaxTokenDelay", "00:00:00.050")
        );
        builder.Services.AddForetokenChatClient(builder.Configuration.GetSection("Chat"));
        using IHost host = builder.Build();
        ForetokenChatClientOptions options = host
            .Services.GetRequiredService<IOptions<ForetokenChatClientOptions>>()
            .Value;
        Assert.False(options.Model.UseMeasuredCosts);
        Assert.Equal((256, KvCacheType.Q8), (options.Session.ContextSize, options.Session.KvCacheType));
        Assert.Equal(
            new Foretoken.Planning.SpeedOptions
            {
                TargetTtftSpeedup = 2.5,
                MaxQualityLoss = 0.3,
                UseThresholds = true,
                Importance = "recent-window",
                Strict = true,
            },
            options.Speed
        );
        Assert.Equal(
            new CompletionOptions
            {
                Mode = CompletionMode.WhileAnswering,
                Grade = CompletionGrade.Exact,
                ByOutputToken = 16,
                MaxTokenDelay = TimeSpan.FromMilliseconds(50),
            },
            options.Completion
        );
    }

    [Fact]
    public async Task Host_does_not_start_with_options_that_cannot_work()
    {
        await Refuses<OptionsValidationException>("ModelPath is not set");
        await Refuses<OptionsValidationException>("missing.gguf", ("Chat:ModelPath", "no/such/missing.gguf"));
        using TemporaryFolder folder = new();
        await File.WriteAllTextAsync(folder["text.gguf"], "# A text, renamed");
        await Refuses<OptionsValidationException>("text.gguf", ("Chat:ModelPath", folder["text.gguf"]));
        await Refuses<ArgumentOutOfRangeException>("Slots", ("Chat:ModelPath", test.Path), ("Chat:Slots", "0"));
        await Refuses<InvalidOperationException>("Slots", ("Chat:ModelPath", test.Path), ("Chat:Slots", "many"));

        static async Task Refuses<T>(string reason, params (string, string)[] settings)
            where T : Exception
        {
            HostApplicationBuilder builder = Builder(settings);
            builder.Services.AddForetokenChatClient(builder.Configuration.GetSection("Chat"));
            using IHost host = builder.Build();
            T error = await Assert.ThrowsAsync<T>(() => host.StartAsync());
            Assert.Contains(reason, error.ToString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Keyed_clients_have_options_of_their_own()
    {
        HostApplicationBuilder builder = Builder(("Small:ModelPath", test.Path), ("Small:ContextSize", "128"));
        builder.Services.AddKeyedForetokenChatClient("small", builder.Configuration.GetSection("Small"));
        builder.Services.AddForetokenChatClient(options =>
        {
            options.ModelPath = test.Path;
            options.ContextSize = 512;
        });
        using IHost host = builder.Build();
        await host.StartAsync();
        Assert.Equal(128, await ContextOf(host.Services.GetRequiredKeyedService<IChatClient>("small")));
        Assert.Equal(512, await ContextOf(host.Services.GetRequiredService<IChatClient>()));
        await host.StopAsync();

        static async Task<int> ContextOf(IChatClient client)
        {
            await client.GetService<ForetokenChatClient>()!.LoadAsync();
            return client.GetService<ForetokenSession>()!.ContextSize;
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("key")]
    public async Task A_registration_goes_on_as_a_pipeline(string? key)
    {
        HostApplicationBuilder builder = Builder(("Chat:ModelPath", test.Path));
        IConfiguration section = builder.Configuration.GetSection("Chat");
        ChatClientBuilder pipeline = key is null
            ? builder.Services.AddForetokenChatClient(section)
            : builder.Services.AddKeyedForetokenChatClient(key, section);
        pipeline.UseFunctionInvocation().ConfigureOptions(options => options.MaxOutputTokens = 1);
        ForetokenChatClient own;
        using (IHost host = builder.Build())
        {
            await host.StartAsync();
            IChatClient client = host.Services.GetRequiredKeyedService<IChatClient>(key);
            own = host.Services.GetRequiredKeyedService<ForetokenChatClient>(key);
            Assert.Same(client, host.Services.GetRequiredKeyedService<IChatClient>(key));
            Assert.Same(own, client.GetService<ForetokenChatClient>());
            Assert.NotNull(client.GetService<FunctionInvokingChatClient>());
            Assert.Null(own.GetService<FunctionInvokingChatClient>());
            Assert.Equal(1, (await client.GetResponseAsync("Hello")).Usage!.OutputTokenCount);
            await host.StopAsync();
        }
        await Assert.ThrowsAsync<ObjectDisposedException>(() => own.GetResponseAsync("Hello"));
    }

    [Fact]
    public void Options_of_a_client_alone_add_up()
    {
        HostApplicationBuilder builder = Builder();
        builder.Services.AddForetoken().Configure(options => options.ModelPath = test.Path);
        builder.Services.AddForetoken().Configure(options => options.Slots = 2);
        using IHost host = builder.Build();
        Assert.Equal(2, host.Services.GetRequiredService<IOptions<ForetokenChatClientOptions>>().Value.Slots);
        Assert.NotNull(host.Services.GetRequiredService<ForetokenChatClient>());
        Assert.Null(host.Services.GetService<IChatClient>());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("key")]
    public async Task Warm_up_loads_the_model_without_being_asked(string? key)
    {
        AwaitedLog log = new("Warm: ");
        HostApplicationBuilder builder = Builder();
        builder.Logging.AddProvider(log);
        _ = key is null
            ? builder.Services.AddForetokenChatClient(Configure)
            : builder.Services.AddKeyedForetokenChatClient(key, Configure);
        builder.Services.AddForetokenWarmUp(key);
        using IHost host = builder.Build();
        await host.StartAsync();
        await log.Seen;
        IChatClient client = key is null
            ? host.Services.GetRequiredService<IChatClient>()
            : host.Services.GetRequiredKeyedService<IChatClient>(key);
        Assert.NotNull(client.GetService<ForetokenModel>());
        await host.StopAsync();

        void Configure(ForetokenChatClientOptions options)
        {
            options.ModelPath = test.Path;
            options.ContextSize = 256;
            options.Threads = 1;
        }
    }

    [Fact]
    public async Task A_warm_up_that_fails_is_logged_and_leaves_the_host_running()
    {
        AwaitedLog log = new("could not be made ready");
        HostApplicationBuilder builder = Builder();
        builder.Logging.AddProvider(log);
        builder.Services.AddForetokenChatClient(options =>
        {
            options.ModelPath = test.Path;
            options.ChatTemplate = "{% this is no template";
        });
        builder.Services.AddForetokenWarmUp();
        using IHost host = builder.Build();
        await host.StartAsync();
        Assert.IsType<ChatTemplateException>(await log.Seen);
        Assert.False(
            host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested
        );
        await Assert.ThrowsAsync<ChatTemplateException>(() =>
            host.Services.GetRequiredService<IChatClient>().GetResponseAsync("x")
        );
        await host.StopAsync();
    }

    private static HostApplicationBuilder Builder(params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(settings.ToDictionary(s => s.Key, s => (string?)s.Value));
        return builder;
    }

    /// <summary>Waits for a log message that contains a text; gives its exception.</summary>
    private sealed class AwaitedLog(string text) : ILoggerProvider, ILogger
    {
        private readonly TaskCompletionSource<Exception?> _seen = new(
            TaskCreationOptions.RunContinuationsAsynchronously
        );

        public Task<Exception?> Seen => _seen.Task;

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        )
        {
            if (formatter(state, exception).Contains(text, StringComparison.Ordinal))
            {
                _seen.TrySetResult(exception);
            }
        }

        public void Dispose() { }
    }
}
