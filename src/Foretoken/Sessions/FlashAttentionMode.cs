namespace Foretoken.Sessions;

/// <summary>Whether attention is computed by llama.cpp's fused kernel.</summary>
public enum FlashAttentionMode
{
    /// <summary>On where the device supports it for this model. The default.</summary>
    Auto,

    /// <summary>Always on.</summary>
    On,

    /// <summary>Always off.</summary>
    Off,
}
