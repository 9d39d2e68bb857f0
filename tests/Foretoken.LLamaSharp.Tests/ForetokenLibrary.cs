using Foretoken.Sessions;
using LLama.Native;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>LLamaSharp on the native library of Foretoken. A process can be told once, before anything of LLamaSharp is used.</summary>
public sealed class ForetokenLibrary
{
    public ForetokenLibrary()
    {
        NativeLibraryConfig.LLama.WithForetoken();
        Shim = ForetokenNativeLibraryConfigExtensions.LoadShim(
            ForetokenModel.GetNativeLibrary().Path,
            CheckedVersion.All[0]
        );
    }

    /// <summary>Path of the library in front of libllama.</summary>
    public string Shim { get; }
}

/// <summary>Tests that use LLamaSharp; they run one after the other, because each of them uses all cores.</summary>
[CollectionDefinition(nameof(ForetokenLibrary))]
public sealed class ForetokenLibraryDefinition : ICollectionFixture<ForetokenLibrary>;
