using System.Diagnostics;
using Foretoken.Diagnostics;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Chat;

/// <summary>
/// The activity and the metrics of one request, from its arrival until it is disposed. Costs next to nothing while nobody
/// listens.
/// </summary>
internal sealed class ChatTelemetry : IDisposable
{
    private readonly string _model;
    private readonly TimeProvider _time;
    private readonly long _start;
    private readonly Activity? _activity;
    private long _firstToken;
    private string? _errorType;

    /// <param name="request">The request.</param>
    /// <param name="model">The model's id.</param>
    /// <param name="time">The clock.</param>
    /// <param name="outer">The span that this request has already, see <see cref="FindOuterSpan"/>.</param>
    internal ChatTelemetry(ChatRequest request, string model, TimeProvider time, Activity? outer)
    {
        _model = model;
        _time = time;
        _start = time.GetTimestamp();
        _activity = outer is null ? ForetokenMeter.StartChat(model) : null;
        if (_activity is not { IsAllDataRequested: true } activity)
        {
            return;
        }
        activity.SetTag("gen_ai.request.max_tokens", request.MaxOutputTokens);
        activity.SetTag("gen_ai.request.temperature", request.Sampling.Temperature);
        activity.SetTag("gen_ai.request.top_p", request.Sampling.TopP);
        activity.SetTag("gen_ai.request.top_k", request.Sampling.TopK);
        activity.SetTag("gen_ai.request.frequency_penalty", request.Sampling.FrequencyPenalty);
        activity.SetTag("gen_ai.request.presence_penalty", request.Sampling.PresencePenalty);
        activity.SetTag("gen_ai.request.seed", (long?)request.Sampling.Seed);
        if (request.StopSequences.Count > 0)
        {
            activity.SetTag("gen_ai.request.stop_sequences", request.StopSequences.ToArray());
        }
        activity.SetTag("gen_ai.output.type", request.IsJson ? "json" : "text");
        activity.SetTag("gen_ai.response.id", request.ResponseId);
        activity.SetTag("foretoken.prefill.speedup.target", request.Speed.TargetTtftSpeedup);
    }

    /// <summary>
    /// The span of a chat with this model that telemetry around the client has begun, such as <c>UseOpenTelemetry</c>: a request has
    /// one span, and that one knows more of the caller. Null where there is none.
    /// </summary>
    internal static Activity? FindOuterSpan(string model)
    {
        for (Activity? activity = Activity.Current; activity is not null; activity = activity.Parent)
        {
            if (activity.Source.Name == ForetokenDiagnostics.ActivitySourceName)
            {
                continue;
            }
            bool isOurs =
                activity.GetTagItem("gen_ai.operation.name") is "chat"
                && activity.GetTagItem("gen_ai.provider.name") is ForetokenMeter.ProviderName;
            // one that is not sampled has no tags
            if (isOurs || activity.OperationName == ForetokenMeter.ChatName(model))
            {
                return activity;
            }
        }
        return null;
    }

    /// <summary>Adds what only this client knows to the span around it. Called on the flow of whoever reads the answer.</summary>
    internal static void Describe(Activity outer, ChatRequest request, PrefillReport report)
    {
        outer.SetTag("foretoken.prefill.speedup.target", request.Speed.TargetTtftSpeedup);
        outer.SetTag("foretoken.prefill.speedup.promised", report.PromisedSpeedup);
        outer.SetTag("foretoken.prefill.speedup.achieved", report.AchievedSpeedup);
    }

    /// <summary>The prefill is done and its first token sampled.</summary>
    internal void FirstToken(PrefillReport report)
    {
        _firstToken = _time.GetTimestamp();
        ForetokenMeter.RecordPrefill(_model, report);
        _activity?.SetTag("gen_ai.usage.input_tokens", report.PromptTokens);
        _activity?.SetTag("gen_ai.usage.cache_read.input_tokens", report.ReusedTokens);
        _activity?.SetTag("foretoken.prefill.speedup.promised", report.PromisedSpeedup);
        _activity?.SetTag("foretoken.prefill.speedup.achieved", report.AchievedSpeedup);
    }

    internal void Answered(ChatFinishReason finishReason, int outputTokens)
    {
        if (outputTokens > 1)
        {
            ForetokenMeter.RecordDecode(_model, _time.GetElapsedTime(_firstToken) / (outputTokens - 1));
        }
        _activity?.SetTag("gen_ai.response.model", _model);
        _activity?.SetTag("gen_ai.response.finish_reasons", new[] { finishReason.Value });
        _activity?.SetTag("gen_ai.usage.output_tokens", outputTokens);
    }

    internal void Failed(Exception error)
    {
        _errorType = error.GetType().FullName;
        _activity?.SetTag("error.type", _errorType);
        _activity?.SetStatus(ActivityStatusCode.Error, error.Message);
    }

    public void Dispose()
    {
        ForetokenMeter.RecordRequest(_model, _time.GetElapsedTime(_start), _errorType);
        _activity?.Dispose();
    }
}
