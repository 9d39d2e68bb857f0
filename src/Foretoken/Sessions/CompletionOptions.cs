using Foretoken.Errors;

namespace Foretoken.Sessions;

/// <summary>
/// How a thinned prefill goes on behind the answer. The first output token comes when the thinned prefill is done; the tokens that
/// upper layers lack follow between the next output tokens, so that the rest of the answer is that of the full prompt.
/// </summary>
/// <remarks>
/// Thinned prefill and <see cref="CompletionGrade.Fill"/> together run every token once through every layer: an answer that is longer
/// than <see cref="ByOutputToken"/> ends about when it would have ended behind a full prefill.
/// </remarks>
public sealed record CompletionOptions
{
    /// <summary>When. Default <see cref="CompletionMode.Always"/>.</summary>
    public CompletionMode Mode
    {
        get;
        init =>
            field =
                (value & ~CompletionMode.Always) == 0
                    ? value
                    : throw new ArgumentOutOfRangeException(
                        nameof(value),
                        value,
                        "There is no such mode of completion."
                    );
    } = CompletionMode.Always;

    /// <summary>How, while answering. When idle a completion is always exact. Default <see cref="CompletionGrade.Fill"/>.</summary>
    public CompletionGrade Grade
    {
        get;
        init => field = OptionCheck.Defined(value);
    } = CompletionGrade.Fill;

    /// <summary>
    /// The output token in front of which the completion is finished, 2 or more: what is left is spread evenly over the tokens in
    /// front of it. Default 8. <see cref="MaxTimeShare"/> and <see cref="MaxTokenDelay"/> may make it later.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 2.</exception>
    public int ByOutputToken
    {
        get;
        init => field = OptionCheck.AtLeast(value, 2);
    } = 8;

    /// <summary>
    /// The most of the time between two output tokens that goes into the completion, above 0 and below 1. Default null: as much as
    /// <see cref="ByOutputToken"/> needs.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not above 0, or not below 1.</exception>
    public double? MaxTimeShare
    {
        get;
        init => field = value is { } share ? OptionCheck.Share(share) : null;
    }

    /// <summary>
    /// The longest that an output token waits for the completion. Default null: as long as <see cref="ByOutputToken"/> needs. A
    /// graph takes some time however few tokens run in it, so below that time it is not kept.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public TimeSpan? MaxTokenDelay
    {
        get;
        init =>
            field =
                value is null || value > TimeSpan.Zero
                    ? value
                    : throw new ArgumentOutOfRangeException(nameof(value), value, "The delay has to be positive.");
    }

    /// <summary>
    /// How the residual stream in front of the layers that lack tokens is kept until everything is completed exactly. Default
    /// <see cref="ResidualStorage.Full"/>.
    /// </summary>
    public ResidualStorage Storage
    {
        get;
        init => field = OptionCheck.Defined(value);
    } = ResidualStorage.Full;

    /// <summary>
    /// The most bytes of residual streams that a slot keeps in host memory. A prompt that would need more is not completed while
    /// answering, and when idle it runs again from the first layer. Default 256 MiB.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public long MaxStorageBytes
    {
        get;
        init =>
            field =
                value >= 0
                    ? value
                    : throw new ArgumentOutOfRangeException(nameof(value), value, "A number of bytes is not negative.");
    } = 256L << 20;

    /// <summary>
    /// Threads that complete when idle. Default 0: as many as prefill. A host on battery, or one that serves others, takes fewer.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or above <see cref="SessionOptions.MaxThreads"/>.</exception>
    public int IdleThreads
    {
        get;
        init => field = OptionCheck.Between(value, 0, SessionOptions.MaxThreads);
    }

    /// <summary>Bytes of the residual stream of a prompt at one layer.</summary>
    internal long StorageBytes(int tokens, int width) =>
        (long)tokens * width * (Storage == ResidualStorage.Half ? 2 : 4);
}
