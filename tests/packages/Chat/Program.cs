// what an application with the packages Foretoken and Foretoken.Native.Cpu looks like
using Foretoken;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

using IChatClient client = new ForetokenChatClient(
    new()
    {
        ModelPath = args[0],
        TargetTtftSpeedup = 2,
        ContextSize = 1024,
    }
);
string document = string.Concat(Enumerable.Repeat("The ferry crosses the river in the morning. ", 40));
ChatResponse response = await client.GetResponseAsync(
    $"{document}\n\nWhat is this text about?",
    new ChatOptions { MaxOutputTokens = 12 }
);
PrefillReport report = response.GetPrefillReport()!;
Console.WriteLine(response.Text);
Console.WriteLine($"kept less: {response.Text.Length > 0 && report.Stages[^1].Tokens < report.NewTokens}");
