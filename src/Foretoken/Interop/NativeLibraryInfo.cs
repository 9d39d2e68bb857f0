namespace Foretoken.Interop;

/// <summary>The native library in use, as its handshake tells it.</summary>
/// <param name="Path">Full path of the loaded file.</param>
/// <param name="AbiVersion">Version of the C API.</param>
/// <param name="LlamaRelease">The llama.cpp release it was built from, for example <c>v0.5.0</c>.</param>
/// <param name="PatchHash">Hash of the patch series it was built with.</param>
/// <param name="BuildInfo">JSON: compiler, build type, options, backends.</param>
public sealed record NativeLibraryInfo(
    string Path,
    int AbiVersion,
    string LlamaRelease,
    string PatchHash,
    string BuildInfo
);
