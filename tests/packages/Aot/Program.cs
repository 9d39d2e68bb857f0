// what a program without reflection-based JSON looks like, compiled ahead of time or trimmed: options from configuration, a pipeline
// with function invocation and a cache, a report, and a conversation that is saved and restored
using System.Text.Json;
using Foretoken;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

IConfiguration configuration = new ConfigurationBuilder()
    .AddInMemoryCollection(
        new Dictionary<string, string?>
        {
            ["Chat:ModelPath"] = args[0],
            ["Chat:ContextSize"] = "4096",
            ["Chat:TargetTtftSpeedup"] = "2",
            ["Chat:UseGenericTools"] = "true",
        }
    )
    .Build();
ServiceCollection services = new();
services.AddSingleton<IDistributedCache>(
    new MemoryDistributedCache(Options.Create(new MemoryDistributedCacheOptions()))
);

// one round of calls: a small model may ask for the lamp again and again, and the conversation would outgrow its context
services
    .AddForetokenChatClient(configuration.GetSection("Chat"))
    .UseFunctionInvocation(configure: invoking => invoking.MaximumIterationsPerRequest = 1)
    .UseDistributedCache();
await using ServiceProvider provider = services.BuildServiceProvider();
IChatClient client = provider.GetRequiredService<IChatClient>();

string document = string.Concat(Enumerable.Repeat("The ferry crosses the river in the morning. ", 40));
ChatMessage question = new(ChatRole.User, $"{document}\n\nWhat is this text about?");
ChatOptions options = new ChatOptions { MaxOutputTokens = 12 }
    .WithImportance("recent-window")
    .WithLoraAdapters()
    .WithPrefillProgress(new Progress<Foretoken.Sessions.PrefillProgress>());
ChatResponse answer = await client.GetResponseAsync([question], options);
ChatResponse cached = await client.GetResponseAsync([question], options);
Foretoken.Sessions.PrefillReport report = answer.GetPrefillReport()!;
bool reported = report.ToJson().Contains("\"target_speedup\": 2", StringComparison.Ordinal);

string saved = JsonSerializer.Serialize(
    answer.Messages,
    AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(IList<ChatMessage>))
);
IList<ChatMessage> restored =
    (IList<ChatMessage>)
        JsonSerializer.Deserialize(saved, AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(IList<ChatMessage>)))!;

bool called = false;
AIFunction lamp = new Lamp(() => called = true);
await client.GetResponseAsync(
    "Switch the lamp on.",
    new ChatOptions
    {
        MaxOutputTokens = 60,
        Tools = [lamp],
        ToolMode = ChatToolMode.RequireAny,
    }
);

Console.WriteLine(answer.Text);
bool right =
    reported
    && !JsonSerializer.IsReflectionEnabledByDefault
    && cached.Text == answer.Text
    && cached.GetPrefillReport() is null
    && restored[0].Text == answer.Text
    && saved.Length < 1000
    && called;
Console.WriteLine($"kept less: {right && answer.Text.Length > 0 && report.Stages[^1].Tokens < report.NewTokens}");

/// <summary>A function with a schema of its own: making one from a method needs reflection.</summary>
internal sealed class Lamp(Action call) : AIFunction
{
    private static readonly JsonElement Schema = JsonElement.Parse(
        """{"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}"""
    );

    public override string Name => "switch_lamp";

    public override JsonElement JsonSchema => Schema;

    protected override ValueTask<object?> InvokeCoreAsync(
        AIFunctionArguments arguments,
        CancellationToken cancellationToken
    )
    {
        call();
        return ValueTask.FromResult<object?>("done");
    }
}
