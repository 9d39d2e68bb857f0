namespace Foretoken.Machine;

/// <summary>The CPU backend in use.</summary>
/// <param name="Library">Its file; of a build for many processors, the variant that was chosen.</param>
/// <param name="Features">What its kernels use, as ggml names it: <c>AVX2</c>, <c>AMX_INT8</c>, <c>REPACK</c>, ...</param>
internal sealed record CpuBackend(string Library, IReadOnlyList<string> Features);
