namespace Foretoken.Machine;

/// <summary>A CPU backend of the native library.</summary>
/// <param name="Name">Its name, for example <c>ggml-cpu</c> or <c>ggml-cpu-haswell</c>.</param>
/// <param name="Features">Features that it was compiled for.</param>
/// <param name="Missing">Those of them that this machine does not offer.</param>
internal sealed record CompiledLibrary(string Name, IReadOnlyList<string> Features, IReadOnlyList<string> Missing);
