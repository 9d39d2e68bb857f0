namespace Foretoken.Inference;

/// <summary>A LoRA adapter, and how strongly it works.</summary>
/// <param name="Adapter">The adapter.</param>
/// <param name="Scale">Factor to what it adds to the weights; 1 as it was trained, 0 is without it.</param>
public readonly record struct ScaledAdapter(LoraAdapter Adapter, float Scale = 1);
