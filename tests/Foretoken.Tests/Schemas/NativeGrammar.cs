using Foretoken.Interop;
using Foretoken.Schemas;
using Foretoken.Sessions;

namespace Foretoken.Tests.Schemas;

/// <summary>The grammar that llama.cpp makes of a schema once it is normalised.</summary>
internal static class NativeGrammar
{
    public static string Of(NormalizedSchema schema)
    {
        NativeLoader.EnsureLoaded();
        return Sampler.ToGrammar(schema);
    }
}
