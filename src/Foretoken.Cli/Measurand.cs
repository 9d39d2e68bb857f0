using System.Reflection;
using Foretoken.Gguf;
using Foretoken.Sessions;

namespace Foretoken.Cli;

/// <summary>What results call the things that were measured.</summary>
internal static class Measurand
{
    /// <summary>Version of the managed library, with its commit where the build knew it; empty when it has none.</summary>
    internal static string LibraryVersion =>
        typeof(ForetokenModel)
            .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion
        ?? "";

    /// <summary>Name of a model's file without extension, and without the number of its shard.</summary>
    internal static string NameOf(string path) =>
        GgufShardName.Parse(path) is { } shard
            ? Path.GetFileName(shard.Prefix)
            : Path.GetFileNameWithoutExtension(path);
}
