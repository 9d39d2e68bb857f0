using System.ClientModel;
using System.ClientModel.Primitives;
using System.Diagnostics;
using Foretoken.Cli.Console;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>A server that speaks the OpenAI protocol, asked for streamed chat completions.</summary>
internal sealed class OpenAIRival : IRival
{
    /// <summary>The environment variable that holds the key, for servers that want one.</summary>
    internal const string KeyVariable = "FORETOKEN_RIVAL_KEY";

    // a long prompt on a slow machine takes its time
    private static readonly TimeSpan Patience = TimeSpan.FromHours(1);

    private readonly ChatClient _chat;
    private readonly IDisposable? _server;

    private OpenAIRival(string name, ChatClient chat, IDisposable? server)
    {
        Name = name;
        _chat = chat;
        _server = server;
    }

    public string Name { get; }

    public string Note =>
        "time to the first streamed text by our clock, so with HTTP, tokenising and its chat template; prompts are text of about as many tokens, each with a prefix of its own so that no prompt cache helps; settings of the server are its own.";

    /// <summary>Connects, and finds out which model to ask for.</summary>
    /// <param name="endpoint">Address of the protocol, up to and with <c>/v1</c>.</param>
    /// <param name="model">Name of the model; null for the first one that the server lists.</param>
    /// <param name="server">What ends the server together with this; null when it is not ours to end.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="CliException">It cannot be reached, or lists no model.</exception>
    internal static async Task<OpenAIRival> ConnectAsync(
        Uri endpoint,
        string? model,
        IDisposable? server,
        CancellationToken cancellationToken
    )
    {
        OpenAIClientOptions options = new()
        {
            Endpoint = endpoint,
            NetworkTimeout = Patience,
            // a second try would pass for a slow first one
            RetryPolicy = new ClientRetryPolicy(0),
        };
        // most local servers want no key, but the protocol's clients always send one
        ApiKeyCredential key = new(
            Environment.GetEnvironmentVariable(KeyVariable) is { Length: > 0 } given ? given : "none"
        );
        try
        {
            model ??= (await new OpenAIModelClient(key, options).GetModelsAsync(cancellationToken))
                .Value.FirstOrDefault()
                ?.Id;
        }
        catch (Exception e) when (e is ClientResultException or HttpRequestException or AggregateException)
        {
            throw new CliException(
                $"The rival at {endpoint} does not answer: {e.Message.Trim()} Is the server running, and is that its address? A key goes into {KeyVariable}.",
                e
            );
        }
        return model is null
            ? throw new CliException(
                $"The rival at {endpoint} lists no model; name one: --rival {endpoint},model=NAME."
            )
            : new OpenAIRival(
                $"{endpoint.Host}:{endpoint.Port} ({model})",
                new ChatClient(model, key, options),
                server
            );
    }

    public RivalRun Run(RivalPrompt prompt, int decodeTokens, CancellationToken cancellationToken)
    {
        // the same text is never asked for twice
        string text = $"{Guid.NewGuid():N} {prompt.Text}";
        ChatCompletionOptions options = new() { Temperature = 0, MaxOutputTokenCount = decodeTokens + 1 };
        List<double> arrivals = [];
        int? promptTokens = null;
        long start = Stopwatch.GetTimestamp();
        try
        {
            foreach (
                StreamingChatCompletionUpdate update in _chat.CompleteChatStreaming(
                    [new UserChatMessage(text)],
                    options,
                    cancellationToken
                )
            )
            {
                if (update.ContentUpdate.Any(part => !string.IsNullOrEmpty(part.Text)))
                {
                    arrivals.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                }
                promptTokens = update.Usage?.InputTokenCount ?? promptTokens;
            }
        }
        catch (Exception e) when (e is ClientResultException or HttpRequestException or IOException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new CliException($"The rival {Name} failed: {e.Message.Trim()}", e);
        }
        return arrivals.Count == 0
            ? throw new CliException($"The rival {Name} answered without text, so there is no first token to time.")
            : new RivalRun
            {
                TtftMs = arrivals[0],
                PromptTokens = promptTokens,
                DecodeMs = [.. arrivals.Zip(arrivals.Skip(1), (before, after) => after - before)],
            };
    }

    public void Dispose() => _server?.Dispose();
}
