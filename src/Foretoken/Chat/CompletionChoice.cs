using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>Whether and how the thinned prompt of a request is completed, by the options of the client and of the request.</summary>
internal sealed class CompletionChoice(ForetokenChatClientOptions options)
{
    /// <summary>How the thinned prompt of a request is completed; its prefill keeps what is needed for that.</summary>
    internal CompletionOptions Choose(PreparedRequest prepared, ForetokenSession session)
    {
        CompletionOptions chosen = CompletionOf(prepared.Request, session.Model);
        ForetokenModel model = session.Model;
        if (chosen.Mode == CompletionMode.Never || session.NotStagedReason is not null)
        {
            return chosen with { Mode = CompletionMode.Never };
        }
        bool fits =
            session.ResidualBytes + chosen.StorageBytes(prepared.Prompt.Tokens.Length, model.Info.EmbeddingSize)
            <= chosen.MaxStorageBytes;
        prepared.Prefill.ResidualStorage = fits ? chosen.Storage : ResidualStorage.None;
        return fits && chosen.Storage != ResidualStorage.None
            ? chosen
            : chosen with
            {
                Mode = chosen.Mode & ~CompletionMode.WhileAnswering,
            };
    }

    private CompletionOptions CompletionOf(ChatRequest request, ForetokenModel model)
    {
        CompletionOptions own =
            options.Completion
            ?? new CompletionOptions
            {
                Mode =
                    model.Profile is null ? CompletionMode.Never
                    : options.Slots == 1 ? CompletionMode.Always
                    : CompletionMode.WhileAnswering,
            };
        if (request.Completion is { } mode)
        {
            return own with { Mode = mode };
        }
        // output tokens are faster behind fewer keys and values: completed, they would not be
        return request.Speed.TargetDecodeSpeedup > 1 ? own with { Mode = CompletionMode.Never } : own;
    }

    /// <summary>How what a request has left in its slot is completed when idle; null for not at all.</summary>
    internal CompletionOptions? ChooseIdle(ChatRequest request, ForetokenSession session)
    {
        // of several slots each would compute beside requests in the others
        if (options.Slots > 1 || session.NotStagedReason is not null || session.IsExact)
        {
            return null;
        }
        CompletionOptions chosen = CompletionOf(request, session.Model);
        return chosen.Mode.HasFlag(CompletionMode.WhenIdle) ? chosen : null;
    }
}
