using System.Text;
using Foretoken.Cli.Console;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Cli.Chat;

/// <summary>The history, the documents of the next question, and the settings that commands change.</summary>
/// <remarks>Works with any <see cref="IChatClient"/>; the report is there when the client is Foretoken's.</remarks>
internal sealed class Conversation
{
    private readonly IChatClient _client;
    private readonly ChatArguments _arguments;
    private readonly TimeProvider _time;
    private readonly List<ChatMessage> _messages = [];
    private readonly List<Attachment> _documents = [];

    internal Conversation(IChatClient client, ChatArguments arguments, TimeProvider? time = null)
    {
        _client = client;
        _arguments = arguments;
        _time = time ?? TimeProvider.System;
        Speed = arguments.Speed;
        Reset();
    }

    /// <summary>The speedup that the next question asks for; null leaves it to the client.</summary>
    internal double? Speed { get; set; }

    /// <summary>Documents that go with the next question.</summary>
    internal IReadOnlyList<Attachment> Documents => _documents;

    internal IReadOnlyList<ChatMessage> Messages => _messages;

    /// <summary>The last answer that was given; null before the first.</summary>
    internal Answer? Last { get; private set; }

    internal void Attach(Attachment document) => _documents.Add(document);

    /// <summary>Takes back a document, or all of them.</summary>
    /// <param name="which">Its number, counted from 1, or its name; empty for all.</param>
    /// <returns>The documents that go no longer with the next question.</returns>
    /// <exception cref="CliException">There is no such document.</exception>
    internal IReadOnlyList<Attachment> Drop(string which)
    {
        Attachment[] dropped =
            which.Length == 0 ? [.. _documents]
            : _documents.FindAll(document => document.Name == which) is { Count: > 0 } named ? [.. named]
            : NumberText.TryParseWhole(which, out long number, out _) && number >= 1 && number <= _documents.Count
                ? [_documents[(int)number - 1]]
            : throw new CliException($"No document '{which}' waits for the next question; /files lists those that do.");
        // by reference: two documents may be alike
        _documents.RemoveAll(document => Array.Exists(dropped, one => ReferenceEquals(one, document)));
        return dropped;
    }

    /// <summary>Whether questions and answers are in the history, which go with the next question.</summary>
    internal bool HasHistory => _messages.Exists(message => message.Role == ChatRole.Assistant);

    /// <summary>Forgets the history and the documents.</summary>
    internal void Reset()
    {
        _messages.Clear();
        _documents.Clear();
        Last = null;
        if (_arguments.System.Length > 0)
        {
            _messages.Add(new ChatMessage(ChatRole.System, _arguments.System));
        }
    }

    /// <summary>Asks a question, with the attached documents in front of it.</summary>
    /// <param name="question">The question.</param>
    /// <param name="progress">Receives the progress of the prefill.</param>
    /// <param name="onText">Receives the answer piece by piece; the flag says whether the piece is reasoning.</param>
    /// <param name="cancellationToken">Ends the answer; what was said so far stays in the history.</param>
    /// <remarks>After an exception the conversation is as it was, documents included.</remarks>
    internal async Task<Answer> AskAsync(
        string question,
        IProgress<PrefillProgress>? progress,
        Func<string, bool, ValueTask> onText,
        CancellationToken cancellationToken
    )
    {
        ChatMessage message = new(ChatRole.User, QuestionFormat.Build(question, _documents));
        StringBuilder text = new();
        PrefillReport? report = null;
        ChatFinishReason? finish = null;
        long? tokens = null;
        long? restored = null;
        long first = 0;
        bool cancelled = false;
        try
        {
            await foreach (
                ChatResponseUpdate update in _client.GetStreamingResponseAsync(
                    [.. _messages, message],
                    Options(progress),
                    cancellationToken
                )
            )
            {
                first = first == 0 ? _time.GetTimestamp() : first;
                foreach (AIContent content in update.Contents)
                {
                    switch (content)
                    {
                        case TextReasoningContent reasoning:
                            await onText(Printable(reasoning.Text), true);
                            break;
                        case TextContent part:
                            text.Append(part.Text);
                            await onText(Printable(part.Text), false);
                            break;
                        case UsageContent usage:
                            tokens = usage.Details.OutputTokenCount;
                            restored = usage.Details.AdditionalCounts?.GetValueOrDefault("foretoken.restored_tokens");
                            break;
                    }
                }
                report = update.GetPrefillReport() ?? report;
                finish = update.FinishReason ?? finish;
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            cancelled = true;
        }

        double seconds = first == 0 ? 0 : _time.GetElapsedTime(first).TotalSeconds;
        Answer answer = new()
        {
            Text = text.ToString(),
            Report = report,
            FinishReason = finish,
            OutputTokens = tokens,
            RestoredTokens = restored,
            TokensPerSecond = tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null,
            WasCancelled = cancelled,
        };
        if (!cancelled || text.Length > 0)
        {
            _messages.Add(message);
            _messages.Add(new ChatMessage(ChatRole.Assistant, answer.Text));
            _documents.Clear();
            Last = answer;
        }
        return answer;
    }

    private ChatOptions Options(IProgress<PrefillProgress>? progress)
    {
        ChatOptions options = new()
        {
            MaxOutputTokens = _arguments.MaxTokens,
            Seed = _arguments.Seed,
            Temperature = _arguments.Temperature,
        };
        if (Speed is { } speed)
        {
            options.WithTargetTtftSpeedup(speed);
        }
        return progress is null ? options : options.WithPrefillProgress(progress);
    }

    /// <summary>A model must not be able to move the cursor or recolour the terminal.</summary>
    internal static string Printable(string text) =>
        text.AsSpan().IndexOfAnyInRange('\0', '\x1F') < 0 && !text.Any(char.IsControl)
            ? text
            : string.Concat(text.Where(c => c is '\n' or '\t' || !char.IsControl(c)));
}
