using Foretoken.Chat;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>What of a prompt is kept whatever the speedup, read from the KV cache of the last layer.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class ProtectedPromptTests(TinyChatModel test)
{
    [Fact]
    public async Task Schemas_of_tools_and_a_short_system_prompt_are_kept()
    {
        AIFunction tool = AIFunctionFactory.Create(
            (string city) => city,
            "get_weather",
            "Tells the weather of a city."
        );
        ChatMessage[] messages =
        [
            new(ChatRole.System, "Be brief and kind."),
            new(ChatRole.User, Documents.Filler(1, 240) + "How is the weather?"),
        ];
        (TokenOrigin[] origins, string[] texts, HashSet<int> kept) = await Thin(messages, [tool]);

        Assert.All(Places(origins, TokenOrigin.Template), place => Assert.Contains(place, kept));
        Assert.All(Places(origins, TokenOrigin.System), place => Assert.Contains(place, kept));
        Assert.Contains(Places(origins, TokenOrigin.User), place => !kept.Contains(place));
        string protectedText = string.Concat(Places(origins, TokenOrigin.Template).Select(place => texts[place]));
        Assert.Contains("get_weather", protectedText, StringComparison.Ordinal);
        Assert.Contains("\"city\"", protectedText, StringComparison.Ordinal);
        Assert.Equal(
            "Be brief and kind.",
            string.Concat(Places(origins, TokenOrigin.System).Select(place => texts[place]))
        );
    }

    [Fact]
    public async Task A_system_prompt_of_more_than_a_quarter_is_thinned_like_the_rest()
    {
        ChatMessage[] messages =
        [
            new(ChatRole.System, Documents.Filler(2, 60)),
            new(ChatRole.User, Documents.Filler(3, 60) + "Well?"),
        ];
        (TokenOrigin[] origins, _, HashSet<int> kept) = await Thin(messages, []);
        Assert.Contains(Places(origins, TokenOrigin.System), place => !kept.Contains(place));
        Assert.All(Places(origins, TokenOrigin.Template), place => Assert.Contains(place, kept));
    }

    /// <summary>Sends a request at a speedup, and reads which positions the last layer has keys and values of.</summary>
    private async Task<(TokenOrigin[] Origins, string[] Texts, HashSet<int> Kept)> Thin(
        ChatMessage[] messages,
        AITool[] tools
    )
    {
        ChatOptions options = new ChatOptions { MaxOutputTokens = 1, Tools = tools }.WithTargetTtftSpeedup(1.5);
        using ForetokenChatClient client = test.CreateClient(o => o.ChatTemplate = ToolTemplate.Text);
        PrefillReport report = (await client.GetResponseAsync(messages, options)).GetPrefillReport()!;
        Assert.True(report.Stages[^1].Tokens < report.PromptTokens, report.Reason);

        using ChatTemplate template = new(test.Model, ToolTemplate.Text);
        using ChatPrompt prompt = template.Render(
            ChatRequest.Create(messages, options, new(), NullLogger.Instance).RenderJson
        );
        Assert.Equal(report.PromptTokens, prompt.Tokens.Length);
        return (
            prompt.Origins,
            [.. prompt.Tokens.Select(token => test.Model.Detokenize([token], special: true))],
            [.. client.GetService<ForetokenSession>()!.GetPositions(test.Model.Info.LayerCount - 1)]
        );
    }

    private static int[] Places(TokenOrigin[] origins, TokenOrigin origin) =>
        [.. Enumerable.Range(0, origins.Length).Where(place => origins[place] == origin)];
}
