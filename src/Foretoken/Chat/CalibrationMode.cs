namespace Foretoken;

/// <summary>When a client measures by itself what prefills take on this machine.</summary>
public enum CalibrationMode
{
    /// <summary>
    /// While the client is warmed up in the background, where nothing was measured with its settings before. A request that
    /// comes in the meantime ends it. The default.
    /// </summary>
    WarmUp = 0,

    /// <summary>Never: it is asked for with <see cref="ForetokenChatClient.CalibrateAsync"/>, or left to the prefills that run.</summary>
    Never = 1,
}
