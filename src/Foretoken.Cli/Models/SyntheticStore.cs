using Foretoken.Cli.Console;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Models;

/// <summary>Keeps synthetic models between runs: writing gigabytes of random numbers takes a while.</summary>
internal static class SyntheticStore
{
    /// <summary>The file of a synthetic model; written when it is not there yet.</summary>
    /// <param name="spec">Which model.</param>
    /// <param name="text">The text it was parsed from; names the file.</param>
    /// <param name="note">Receives what is being done.</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    internal static string Get(
        SyntheticModelSpec spec,
        string text,
        Action<string> note,
        CancellationToken cancellationToken
    )
    {
        string folder = RepositoryFolder.Find("artifacts") is { } artifacts
            ? Path.Combine(artifacts, "synthetic")
            : Path.Combine(
                Environment.GetFolderPath(
                    Environment.SpecialFolder.LocalApplicationData,
                    Environment.SpecialFolderOption.DoNotVerify
                ),
                "foretoken",
                "synthetic"
            );
        string name = string.Concat(
            text.Trim().ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' ? c : '_')
        );
        string path = Path.Combine(folder, name + ".gguf");
        long length = SyntheticModel.GetFileLength(spec);
        FileInfo file = new(path);
        if (file.Exists && file.Length == length)
        {
            return path;
        }
        Directory.CreateDirectory(folder);
        note($"Writing {path}: {ByteSize.Format(length)} of random weights, once.");
        SyntheticModel.Write(path, spec, cancellationToken);
        return path;
    }
}
