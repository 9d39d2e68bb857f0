namespace Foretoken.Plans;

/// <summary>A part of a layer that a sequence can do without.</summary>
public enum LayerPart
{
    /// <summary>The whole layer: the residual stream goes past it.</summary>
    Block = 0,

    /// <summary>The attention sublayer: the layer writes no keys and values.</summary>
    Attention = 1,

    /// <summary>The feed-forward sublayer.</summary>
    FeedForward = 2,
}
