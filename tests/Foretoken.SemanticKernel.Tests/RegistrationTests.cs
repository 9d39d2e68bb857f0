using Foretoken.Tests.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.Services;

namespace Foretoken.SemanticKernel.Tests;

public sealed class RegistrationTests
{
    [Fact]
    public void Chat_completion_and_client_share_the_model_of_their_service_id()
    {
        Kernel kernel = Kernel
            .CreateBuilder()
            .AddForetokenChatCompletion(UseModel)
            .AddForetokenChatClient()
            .AddForetokenChatClient(UseModel, "other")
            .Build();

        ForetokenChatClient own = kernel.GetRequiredService<ForetokenChatClient>();
        ForetokenChatClient other = kernel.GetRequiredService<ForetokenChatClient>("other");
        Assert.NotSame(own, other);
        Assert.Same(own, kernel.GetRequiredService<IChatClient>().GetService<ForetokenChatClient>());
        Assert.Same(other, kernel.GetRequiredService<IChatClient>("other").GetService<ForetokenChatClient>());
        Assert.StartsWith(
            "SmolLM2",
            kernel.GetRequiredService<IChatCompletionService>().GetModelId(),
            StringComparison.Ordinal
        );
        ((IDisposable)kernel.Services).Dispose();
    }

    [Fact]
    public async Task Clients_made_from_options_are_disposed_with_the_services()
    {
        ForetokenChatClient client;
        await using (
            ServiceProvider services = new ServiceCollection()
                .AddForetokenChatClient(UseModel, serviceId: "fast")
                .BuildServiceProvider()
        )
        {
            Assert.NotNull(services.GetRequiredKeyedService<IChatClient>("fast"));
            client = services.GetRequiredKeyedService<ForetokenChatClient>("fast");
        }
        Assert.Throws<ObjectDisposedException>(() => client.GetStreamingResponseAsync([new(ChatRole.User, "x")]));
    }

    [Fact]
    public async Task A_client_that_is_handed_in_stays_the_callers()
    {
        using ScriptedChatClient client = new();
        await using (
            ServiceProvider services = new ServiceCollection()
                .AddForetokenChatClient(client)
                .AddForetokenChatCompletion(client)
                .BuildServiceProvider()
        )
        {
            Assert.Same(client, services.GetRequiredService<IChatClient>().GetService<ScriptedChatClient>());
            Assert.NotNull(services.GetRequiredService<IChatCompletionService>());
        }
        Assert.False(client.IsDisposed);
    }

    [Fact]
    public async Task A_service_id_without_a_client_of_its_own_uses_the_one_without_id()
    {
        await using ServiceProvider services = new ServiceCollection()
            .AddForetokenChatCompletion(UseModel)
            .AddForetokenChatClient("alias")
            .BuildServiceProvider();
        Assert.Same(
            services.GetRequiredService<ForetokenChatClient>(),
            services.GetRequiredKeyedService<IChatClient>("alias").GetService<ForetokenChatClient>()
        );
    }

    [Fact]
    public async Task No_client_at_all_is_an_error_that_says_what_to_do()
    {
        await using ServiceProvider services = new ServiceCollection()
            .AddForetokenChatCompletion("fast")
            .BuildServiceProvider();
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() =>
            services.GetRequiredKeyedService<IChatCompletionService>("fast")
        );
        Assert.Contains("'fast'", error.Message, StringComparison.Ordinal);
        Assert.Contains("AddForetokenChatCompletion(options", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("fast")]
    public async Task Options_come_from_configuration(string? serviceId)
    {
        IConfiguration configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                new Dictionary<string, string?>
                {
                    ["Chat:ModelPath"] = TestModel.FindPath(),
                    ["Chat:TargetTtftSpeedup"] = "2.5",
                    ["Chat:Speed:MaxQualityLoss"] = "0.3",
                }
            )
            .Build();
        Kernel kernel = Kernel
            .CreateBuilder()
            .AddForetokenChatCompletion(configuration.GetSection("Chat"), serviceId)
            .AddForetokenChatClient(configuration.GetSection("Chat"), serviceId)
            .Build();
        await using ServiceProvider services = (ServiceProvider)kernel.Services;
        ForetokenChatClientOptions options = services
            .GetRequiredService<IOptionsMonitor<ForetokenChatClientOptions>>()
            .Get(serviceId ?? Options.DefaultName);
        Assert.Equal(2.5, options.TargetTtftSpeedup);
        Assert.Equal(0.3, options.Speed.MaxQualityLoss);
        Assert.NotNull(services.GetRequiredKeyedService<IChatCompletionService>(serviceId));
        Assert.NotNull(
            services.GetRequiredKeyedService<IChatClient>(serviceId).GetService<FunctionInvokingChatClient>()
        );
    }

    [Theory]
    [InlineData(null)]
    [InlineData("fast")]
    public async Task A_host_does_not_start_with_a_model_that_is_not_there(string? serviceId)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddForetokenChatCompletion(options => options.ModelPath = "no/such/missing.gguf", serviceId);
        using IHost host = builder.Build();
        OptionsValidationException error = await Assert.ThrowsAsync<OptionsValidationException>(() =>
            host.StartAsync()
        );
        Assert.Contains("missing.gguf", error.Message, StringComparison.Ordinal);
    }

    private static void UseModel(ForetokenChatClientOptions options) => options.ModelPath = TestModel.FindPath();
}
