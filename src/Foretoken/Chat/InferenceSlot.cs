using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>One of a client's places where an answer is computed: a session, and the thread that it computes on.</summary>
internal sealed class InferenceSlot(ForetokenSession session, string threadName) : IDisposable
{
    internal ForetokenSession Session { get; } = session;

    internal InferenceThread Thread { get; } = new(threadName);

    /// <summary>What the session holds of a prompt. Only while no request runs in this slot.</summary>
    internal SlotMatch Match(ReadOnlySpan<int> prompt, PrefillRequest request)
    {
        int reusable = Session.ReusablePrefix(prompt, request);
        return new SlotMatch(reusable, Session.TokenCount - reusable);
    }

    /// <summary>Waits for the work in this slot, and frees its memory.</summary>
    public void Dispose()
    {
        Thread.Complete();
        Thread.Join();
        Session.Dispose();
    }
}
