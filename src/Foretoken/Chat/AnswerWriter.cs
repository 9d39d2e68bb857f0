using System.Threading.Channels;
using Foretoken.Diagnostics;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Chat;

/// <summary>Computes the answer to one request in a slot that it holds, and writes it as updates.</summary>
internal sealed class AnswerWriter(CompletionChoice completions, string modelId, ILogger logger, TimeProvider time)
{
    internal static void LogCostProblem(ILogger logger, ForetokenSession session)
    {
        if (session.TakeCostProblem() is { } problem)
        {
            logger.MeasuredCostsProblem(problem);
        }
    }

    /// <summary>Prefill and answer, on the thread of a slot that the request holds.</summary>
    internal void Write(
        PreparedRequest prepared,
        ForetokenSession session,
        ChannelWriter<ChatResponseUpdate> updates,
        ChatTelemetry telemetry,
        CancellationToken cancellationToken
    )
    {
        long start = time.GetTimestamp();
        ChatRequest request = prepared.Request;
        ChatPrompt prompt = prepared.Prompt;
        ForetokenModel model = session.Model;
        cancellationToken.ThrowIfCancellationRequested();
        using Sampler sampler = model.CreateSampler(prompt.Constrain(request.Sampling));
        CompletionOptions completing = completions.Choose(prepared, session);
        PrefillReport report = session.Prefill(prompt.Tokens, prepared.Prefill, request.Progress, cancellationToken);
        logger.Prefilled(
            report.PromptTokens,
            report.ReusedTokens,
            report.PrefillTime.TotalMilliseconds,
            report.ExpectedPrefillTime?.Time.TotalMilliseconds,
            report.TargetSpeedup,
            report.PromisedSpeedup,
            report.AchievedSpeedup,
            report.Reason
        );
        LogCostProblem(logger, session);

        AnswerCompletion? completion = completing.Mode.HasFlag(CompletionMode.WhileAnswering)
            ? new AnswerCompletion(completing, session, time)
            : null;
        AnswerReader reader = new(model, prompt, request);
        ChatFinishReason finish = ChatFinishReason.Length;
        int outputTokens = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int token = session.Sample(sampler);
            if (outputTokens == 0)
            {
                report = report with
                {
                    TimeToFirstToken = prepared.PreparationTime + time.GetElapsedTime(start),
                    QueueTime = prepared.QueueTime,
                    UsesGenericTools = prompt.Tools is not null,
                };
                telemetry.FirstToken(report);
            }
            if (model.IsEndOfGeneration(token))
            {
                finish = ChatFinishReason.Stop;
                break;
            }
            outputTokens++;
            WriteContents(reader.Append(token));
            if (reader.Stopped)
            {
                finish = ChatFinishReason.Stop;
                break;
            }
            if (outputTokens == request.MaxOutputTokens || session.TokenCount == session.ContextSize)
            {
                break;
            }
            completion?.Continue(outputTokens, cancellationToken);
            session.Decode(token, cancellationToken);
        }

        report = report with { Completion = completion?.Report };
        List<AIContent> rest = reader.Finish();
        // an answer that was cut inside of a call ended for the reason that cut it
        if (reader.RefusedCalls.Count == 0 && rest.Exists(content => content is FunctionCallContent))
        {
            finish = ChatFinishReason.ToolCalls;
        }
        if (reader.ParseError is { } parseError)
        {
            logger.UnparsedAnswer(parseError);
        }
        foreach ((string name, string reason) in reader.RefusedCalls)
        {
            logger.CallRefused(request.ResponseId, name, reason);
        }
        rest.Add(
            new UsageContent(
                new UsageDetails
                {
                    InputTokenCount = report.PromptTokens,
                    OutputTokenCount = outputTokens,
                    TotalTokenCount = report.PromptTokens + outputTokens,
                    CachedInputTokenCount = report.ReusedTokens,
                    ReasoningTokenCount = Math.Min(reader.CountReasoningTokens(), outputTokens),
                    AdditionalCounts = new AdditionalPropertiesDictionary<long>
                    {
                        ["foretoken.cached_tokens"] = report.ReusedTokens,
                        ["foretoken.computed_tokens"] = report.NewTokens,
                        ["foretoken.kept_tokens"] = report.KeptTokens,
                        ["foretoken.restored_tokens"] = session.RestoredTokens,
                        ["foretoken.completed_tokens"] = report.Completion?.Tokens ?? 0,
                    },
                }
            )
        );
        ChatResponseUpdate last = Update(rest);
        last.FinishReason = finish;
        last.RawRepresentation = report;
        ReportsOfAnswers.Add(request.ResponseId, report);
        updates.TryWrite(last);

        telemetry.Answered(finish, outputTokens);
        if (report.Completion is { } completed)
        {
            logger.CompletedWhileAnswering(
                request.ResponseId,
                completed.Tokens,
                completed.Time.TotalMilliseconds,
                completed.RemainingTokens
            );
        }
        if (session.RestoredTokens > 0)
        {
            logger.QuotesRestored(request.ResponseId, session.RestoredTokens, session.RestoreTime.TotalMilliseconds);
        }
        logger.Responded(request.ResponseId, finish.Value, outputTokens, report.TimeToFirstToken.TotalMilliseconds);

        void WriteContents(List<AIContent> contents)
        {
            if (contents.Count > 0)
            {
                updates.TryWrite(Update(contents));
            }
        }

        ChatResponseUpdate Update(List<AIContent> contents) =>
            new(ChatRole.Assistant, contents)
            {
                ResponseId = request.ResponseId,
                MessageId = request.ResponseId,
                ModelId = modelId,
                CreatedAt = time.GetUtcNow(),
            };
    }
}
