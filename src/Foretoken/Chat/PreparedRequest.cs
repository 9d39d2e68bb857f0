using Foretoken.Importance;
using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>A request whose prompt is rendered, so that it can be compared with what the slots hold.</summary>
internal sealed class PreparedRequest(
    ChatRequest request,
    ChatPrompt prompt,
    IImportancePolicy? importance,
    IReadOnlyList<ScaledAdapter> adapters
)
{
    internal ChatRequest Request { get; } = request;

    internal ChatPrompt Prompt { get; } = prompt;

    internal PrefillRequest Prefill { get; } =
        new()
        {
            Speed = request.Speed,
            Importance = importance,
            Origins = prompt.Origins,
            Adapters = adapters,
        };

    /// <summary>Time spent on rendering, and on loading the model where this request had to; part of the time to first token.</summary>
    internal TimeSpan PreparationTime { get; set; }

    /// <summary>Time without any work on this request.</summary>
    internal TimeSpan QueueTime { get; set; }
}
