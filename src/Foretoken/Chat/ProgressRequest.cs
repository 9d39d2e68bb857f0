using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>
/// Carries a receiver of progress with a request, beside the raw representation that the caller gives: additional properties become
/// part of the keys of caches, and an object that cannot be serialised would end there.
/// </summary>
internal sealed record ProgressRequest(object? Inner, IProgress<PrefillProgress> Progress);
