namespace Foretoken.Sessions;

/// <summary>A LoRA adapter that a prompt was computed with.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Scale">Factor to what it adds to the weights.</param>
public sealed record AdapterReport(string Name, float Scale);
