// An agent of Microsoft Agent Framework that answers about a document, on a local model that starts to answer sooner:
//
//   AgentChat [DOCUMENT [QUESTION [SPEEDUP]]]
//
// The agent reads the document with a tool. Its session is saved, restored and asked again.
using System.ComponentModel;
using System.Text.Json;
using Foretoken;
using Foretoken.Chat;
using Foretoken.Errors;
using Foretoken.Samples;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;

string document = args.ElementAtOrDefault(0) ?? SampleFiles.Document;
string question = args.ElementAtOrDefault(1) ?? "Which model is in this folder?";
if (!File.Exists(document) || !Speedup.TryParse(args.ElementAtOrDefault(2), out double speedup))
{
    Console.Error.WriteLine(
        "Usage: AgentChat [DOCUMENT [QUESTION [SPEEDUP]]], with a DOCUMENT that exists and a SPEEDUP such as 2.5"
    );
    return 2;
}

[Description("Reads the document that the user asks about.")]
string ReadDocument()
{
    Console.WriteLine($"[the agent reads {Path.GetFileName(document)}]");
    return File.ReadAllText(document);
}

using ForetokenChatClient client = new(
    new()
    {
        ModelPath = SampleFiles.Model,
        // the model's own template does not tell it of functions
        ChatTemplate = SampleFiles.ToolTemplate,
        TargetTtftSpeedup = speedup,
        MaxOutputTokens = 60,
    }
);

// one round of calls: a small model may go on to read the same document until its context is full
ChatClientAgent agent = client
    .AsBuilder()
    .UseFunctionInvocation(configure: invoking => invoking.MaximumIterationsPerRequest = 1)
    .Build()
    .AsAIAgent(
        instructions: "You answer questions about a document in one sentence.",
        name: "reader",
        tools: [AIFunctionFactory.Create(ReadDocument, "read_document")]
    );

try
{
    // a small model does not think of the tool by itself: the first run has to call it
    AgentSession session = await agent.CreateSessionAsync();
    await AskAsync(session, question, new() { ToolMode = ChatToolMode.RequireAny });

    // what an application would keep in a database between two requests of a user
    string saved = (await agent.SerializeSessionAsync(session)).GetRawText();
    Console.WriteLine($"[session saved: {saved.Length:N0} characters]");

    AgentSession restored = await agent.DeserializeSessionAsync(JsonElement.Parse(saved));
    await AskAsync(restored, "Under which licence is it?", new() { ToolMode = ChatToolMode.None });
    return 0;
}
catch (Exception e) when (e is ForetokenException or NotSupportedException or ArgumentException or IOException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

async Task AskAsync(AgentSession session, string text, ChatOptions options)
{
    Console.WriteLine($"> {text}");
    await foreach (
        AgentResponseUpdate update in agent.RunStreamingAsync(text, session, new ChatClientAgentRunOptions(options))
    )
    {
        Console.Write(update.Text);
        // every call of the model within the run has its own report
        if (update.AsChatResponseUpdate().GetPrefillReport() is { } report)
        {
            Console.WriteLine();
            Console.WriteLine(
                $"[{report.PromptTokens} prompt tokens, {report.ReusedTokens} of them reused; first token after "
                    + $"{report.TimeToFirstToken.TotalSeconds:0.00} s; asked for {report.TargetSpeedup:0.0#}x, "
                    + $"promised {report.PromisedSpeedup:0.0#}x]"
            );
        }
    }
}
