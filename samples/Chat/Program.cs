// A chat about a document on a local model that starts to answer sooner:
//
//   Chat [DOCUMENT [SPEEDUP [MODEL]]]
//
// Questions come from standard input, one a line; an empty line or the end of the input ends the chat. The chat with all
// options is `foretoken chat` (`./run chat`).
using Foretoken;
using Foretoken.Errors;
using Foretoken.Samples;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

string document = args.ElementAtOrDefault(0) ?? SampleFiles.Document;
if (args.Length > 3 || !File.Exists(document) || !Speedup.TryParse(args.ElementAtOrDefault(1), out double speedup))
{
    Console.Error.WriteLine(
        "Usage: Chat [DOCUMENT [SPEEDUP [MODEL]]], with a DOCUMENT that exists and a SPEEDUP such as 2.5"
    );
    return 2;
}

// Ctrl+C ends an answer; at the prompt it ends the chat
using CancellationTokenSource ended = new();
CancellationTokenSource? answering = null;
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    (answering ?? ended).Cancel();
};

try
{
    using IChatClient client = await ForetokenChatClient.CreateAsync(
        new()
        {
            ModelPath = args.ElementAtOrDefault(2) ?? SampleFiles.Model,
            TargetTtftSpeedup = speedup,
            MaxOutputTokens = 256,
        },
        cancellationToken: ended.Token
    );
    List<ChatMessage> conversation =
    [
        new(ChatRole.System, "You answer questions about a document, shortly."),
        new(ChatRole.User, $"{File.ReadAllText(document)}\n\nAnswer my questions about this document."),
        new(ChatRole.Assistant, "What do you want to know?"),
    ];

    while (await AskAsync() is { } question)
    {
        conversation.Add(new(ChatRole.User, question));
        await AnswerAsync(client, conversation);
    }
    return 0;
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is ForetokenException or NotSupportedException or ArgumentException or IOException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

async Task<string?> AskAsync()
{
    Console.Write("> ");
    string? line = await Console.In.ReadLineAsync(ended.Token);
    return string.IsNullOrWhiteSpace(line) ? null : line;
}

async Task AnswerAsync(IChatClient client, List<ChatMessage> conversation)
{
    using CancellationTokenSource cancellation = new();
    answering = cancellation;

    // how far the prompt has come, on the line where the answer will begin
    ChatOptions options = new ChatOptions().WithPrefillProgress(new PrefillLine());
    List<ChatResponseUpdate> updates = [];
    try
    {
        await foreach (
            ChatResponseUpdate update in client.GetStreamingResponseAsync(conversation, options, cancellation.Token)
        )
        {
            Console.Write(update.Text);
            updates.Add(update);
        }
    }
    catch (OperationCanceledException)
    {
        Console.Write(" [stopped]");
    }
    finally
    {
        answering = null;
    }
    Console.WriteLine();

    ChatResponse answer = updates.ToChatResponse();
    conversation.AddMessages(answer);
    if (answer.GetPrefillReport() is { } report)
    {
        Console.Error.WriteLine(
            $"[{report.PromptTokens} prompt tokens, {report.ReusedTokens} of them reused; first token after "
                + $"{report.TimeToFirstToken.TotalSeconds:0.00} s; asked for {report.TargetSpeedup:0.0#}x, promised "
                + $"{report.PromisedSpeedup:0.0#}x. {report.Reason}]"
        );
    }
}

internal sealed class PrefillLine : IProgress<PrefillProgress>
{
    public void Report(PrefillProgress value)
    {
        if (Console.IsErrorRedirected)
        {
            return;
        }
        Console.Error.Write($"\r{value.Fraction:P0} of the prompt \r");
    }
}
