namespace Foretoken.Profiles;

/// <summary>A LoRA adapter that something in a profile was learned with. Immutable.</summary>
/// <param name="FileName">Name of its file, for people.</param>
/// <param name="Fingerprint">SHA-256 of the file, 64 hexadecimal digits, lower case: this identifies it.</param>
/// <param name="Scale">Factor to what it adds to the weights; not 0.</param>
internal sealed record ProfileAdapter(string FileName, string Fingerprint, float Scale);
