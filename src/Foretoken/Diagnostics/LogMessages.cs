using Microsoft.Extensions.Logging;

namespace Foretoken.Diagnostics;

/// <summary>Every log message of the library. Prompts and answers are never logged.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(
        1,
        LogLevel.Information,
        "Loaded {ModelPath}: {Description}, {LayerCount} layers, {SlotCount} slots with a context of {ContextSize}, llama.cpp {Release} with patches {PatchHash}"
    )]
    internal static partial void ModelLoaded(
        this ILogger logger,
        string modelPath,
        string description,
        int layerCount,
        int slotCount,
        int contextSize,
        string release,
        string patchHash
    );

    [LoggerMessage(
        2,
        LogLevel.Information,
        "Prefill of {PromptTokens} tokens ({ReusedTokens} reused) took {Milliseconds:F1} ms, expected {ExpectedMilliseconds:F1}; speedup asked {Target:F2}, promised {Promised:F2}, achieved by estimate {Achieved:F2}; {Reason}"
    )]
    internal static partial void Prefilled(
        this ILogger logger,
        int promptTokens,
        int reusedTokens,
        double milliseconds,
        double? expectedMilliseconds,
        double target,
        double promised,
        double? achieved,
        string reason
    );

    [LoggerMessage(
        3,
        LogLevel.Information,
        "Response {ResponseId} finished ({FinishReason}): {OutputTokens} tokens, first after {FirstTokenMilliseconds:F1} ms"
    )]
    internal static partial void Responded(
        this ILogger logger,
        string responseId,
        string finishReason,
        int outputTokens,
        double firstTokenMilliseconds
    );

    [LoggerMessage(4, LogLevel.Information, "Response {ResponseId} was cancelled")]
    internal static partial void Cancelled(this ILogger logger, string responseId);

    [LoggerMessage(5, LogLevel.Error, "Response {ResponseId} failed")]
    internal static partial void Failed(this ILogger logger, Exception exception, string responseId);

    [LoggerMessage(6, LogLevel.Warning, "This client cannot honour {Option}; it was ignored: {Explanation}")]
    internal static partial void OptionIgnored(this ILogger logger, string option, string explanation);

    [LoggerMessage(7, LogLevel.Warning, "Prefill cannot be staged on this model, so every speedup is 1: {Explanation}")]
    internal static partial void NotStaged(this ILogger logger, string explanation);

    [LoggerMessage(
        8,
        LogLevel.Warning,
        "The answer is not in the tool-call format of the model's template; it is passed on as text: {Explanation}"
    )]
    internal static partial void UnparsedAnswer(this ILogger logger, string explanation);

    [LoggerMessage(9, LogLevel.Information, "Warm: the first short answer began after {Milliseconds:F1} ms")]
    internal static partial void WarmedUp(this ILogger logger, double milliseconds);

    [LoggerMessage(10, LogLevel.Error, "The model could not be made ready in the background; requests will try again")]
    internal static partial void WarmUpFailed(this ILogger logger, Exception exception);

    [LoggerMessage(
        11,
        LogLevel.Information,
        "Tokens are ranked by what was learned about {ModelName}: {Boundaries} boundaries, from {Prompts} prompts"
    )]
    internal static partial void ProfileInUse(this ILogger logger, string modelName, int boundaries, int prompts);

    [LoggerMessage(
        12,
        LogLevel.Information,
        "The model has no profile: tokens are ranked by {Importance} and plans come from the default schedule. 'foretoken tune' learns both from the model"
    )]
    internal static partial void NoProfile(this ILogger logger, string importance);

    [LoggerMessage(
        13,
        LogLevel.Information,
        "Plans rest on times that were measured on this machine: {Prefills} prefills, which varied by {SpreadPercent:F0} %"
    )]
    internal static partial void MeasuredCostsInUse(this ILogger logger, int prefills, double spreadPercent);

    [LoggerMessage(14, LogLevel.Warning, "The cached times of this machine: {Problem}")]
    internal static partial void MeasuredCostsProblem(this ILogger logger, string problem);

    [LoggerMessage(
        15,
        LogLevel.Information,
        "Calibrated: {Prefills} prefills were timed in {Seconds:F1} s, cached in {CachePath}"
    )]
    internal static partial void Calibrated(this ILogger logger, double seconds, int prefills, string? cachePath);

    [LoggerMessage(16, LogLevel.Information, "A request ended the calibration; what was measured until then is used")]
    internal static partial void CalibrationEnded(this ILogger logger);

    [LoggerMessage(
        17,
        LogLevel.Information,
        "What the profile knows of skips is left aside in requests with this client's LoRA adapters: {Explanation}"
    )]
    internal static partial void SkipsLeftAside(this ILogger logger, string explanation);

    [LoggerMessage(
        18,
        LogLevel.Debug,
        "Response {ResponseId} quotes the prompt: {RestoredTokens} dropped tokens were brought back in {Milliseconds:F1} ms"
    )]
    internal static partial void QuotesRestored(
        this ILogger logger,
        string responseId,
        int restoredTokens,
        double milliseconds
    );

    [LoggerMessage(
        19,
        LogLevel.Information,
        "Most weights of the model are {Type}, for which this processor has no kernel that takes several tokens of a prompt at once, so prefill is slower than it could be; quantised to {FasterTypes} it would have one"
    )]
    internal static partial void NoPrefillKernel(this ILogger logger, string type, string fasterTypes);

    [LoggerMessage(
        20,
        LogLevel.Warning,
        "The chat template describes functions, but in no format that is known here: calls come as text, unless they are JSON alone. UseGenericTools of the options describes them in a known one"
    )]
    internal static partial void FunctionsWithoutFormat(this ILogger logger);

    [LoggerMessage(25, LogLevel.Information, "The grammar allows more than the schema of {Subject} does: {What}")]
    internal static partial void SchemaLoosened(this ILogger logger, string subject, string what);

    [LoggerMessage(
        26,
        LogLevel.Warning,
        "Response {ResponseId}: the call of '{Function}' is passed on as text and not handed over: {Reason}"
    )]
    internal static partial void CallRefused(this ILogger logger, string responseId, string function, string reason);

    [LoggerMessage(
        27,
        LogLevel.Debug,
        "Response {ResponseId}: {Tokens} tokens were completed in {Milliseconds:F1} ms between output tokens, {Remaining} are left"
    )]
    internal static partial void CompletedWhileAnswering(
        this ILogger logger,
        string responseId,
        int tokens,
        double milliseconds,
        int remaining
    );

    [LoggerMessage(
        28,
        LogLevel.Debug,
        "The conversation was completed when idle: {Tokens} tokens ran again in {Milliseconds:F1} ms"
    )]
    internal static partial void CompletedWhenIdle(this ILogger logger, int tokens, double milliseconds);

    [LoggerMessage(29, LogLevel.Warning, "Completing the conversation when idle failed; it stays as it is")]
    internal static partial void IdleCompletionFailed(this ILogger logger, Exception exception);
}
