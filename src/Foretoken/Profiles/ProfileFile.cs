using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using static Foretoken.Profiles.ProfileKeys;

namespace Foretoken.Profiles;

/// <summary>Reads profiles: GGUF files that lie beside their model.</summary>
/// <remarks>
/// <para>
/// The weights of the predictor at layer 5 are the F32 tensors <c>boundary.5.attention</c> ([layers below, sources, pools, heads]
/// row-major), <c>boundary.5.matches</c> ([sources, pools] row-major) and <c>boundary.5.residual</c> ([embedding]), those of its
/// network <c>boundary.5.network</c> (all weights of a <see cref="ResidualNetwork"/>; how many there are tells the width of its hidden
/// layer), those of the first routers <c>router.0.weights</c> ([candidate layers, embedding] row-major; absent where all are 0);
/// everything else is metadata under <c>foretoken.</c>. The first entry, <c>foretoken.checksum</c>, is the SHA-256 of the whole file
/// with the checksum's own 64 digits set to 0, so a single changed byte is noticed.
/// </para>
/// <para>Thread-safe.</para>
/// </remarks>
internal static class ProfileFile
{
    /// <summary>How the names of profiles end.</summary>
    public const string Extension = ".foretoken.gguf";

    private const long MaxBytes = 1 << 30;

    private const string MakeAgain =
        "Delete it and make it again with 'foretoken tune', or go without a profile (UseProfile = false, on the command line '--profile none').";

    /// <summary>Where the profile of a model lies: <c>model.foretoken.gguf</c> beside <c>model.gguf</c>.</summary>
    /// <param name="modelPath">GGUF file; of a split model, any of its shards, whose numbers do not count.</param>
    public static string PathFor(string modelPath)
    {
        ArgumentException.ThrowIfNullOrEmpty(modelPath);
        const string Gguf = ".gguf";
        string name =
            GgufShardName.Parse(modelPath)?.Prefix
            ?? (modelPath.EndsWith(Gguf, StringComparison.OrdinalIgnoreCase) ? modelPath[..^Gguf.Length] : modelPath);
        return name + Extension;
    }

    /// <summary>Finds the profile of a model, and checks that it belongs to it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="path">The profile; <see langword="null"/> for the one at <see cref="PathFor"/>, where there is one.</param>
    /// <returns>The profile; <see langword="null"/> where none is named and none lies beside the model.</returns>
    /// <exception cref="ModelProfileException">The named file is missing, or the profile is damaged or of another model.</exception>
    public static ModelProfile? Find(ModelFileInfo model, string? path = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (path is null)
        {
            path = PathFor(model.Path);
            if (!File.Exists(path))
            {
                return null;
            }
        }

        ModelProfile profile = Read(path);
        string fingerprint = ModelFingerprint.Compute(model);
        string advice =
            $"Run 'foretoken tune {model.Path}' for a profile of this model, or go without one (UseProfile = false, on the command line '--profile none').";
        if (!string.Equals(profile.Fingerprint, fingerprint, StringComparison.OrdinalIgnoreCase))
        {
            throw Refused(
                path,
                $"it was learned from '{profile.ModelName}' (fingerprint {Short(profile.Fingerprint)}); '{Path.GetFileName(model.Path)}' is another model, or another quantisation of it (fingerprint {Short(fingerprint)}).",
                advice
            );
        }

        // of an architecture that cannot be staged the sizes are not known, and no plan will be made for it
        if (
            model.Shape is { } shape
            && (
                profile.LayerCount != shape.LayerCount
                || profile.HeadCount != shape.HeadCount
                || profile.EmbeddingSize != shape.EmbeddingSize
            )
        )
        {
            throw Refused(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it is for {profile.LayerCount} layers of {profile.HeadCount} heads and width {profile.EmbeddingSize}; '{Path.GetFileName(model.Path)}' has {shape.LayerCount} layers of {shape.HeadCount} heads and width {shape.EmbeddingSize}."
                ),
                advice
            );
        }

        return profile;
    }

    /// <summary>Reads a profile.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="ModelProfileException">
    /// The file is missing, unreadable, damaged, no profile, of another version, or holds what no model can use.
    /// </exception>
    public static ModelProfile Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        GgufFile header;
        byte[] bytes;
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16);
            header = GgufReader.Read(stream);
            CheckHeader(path, header);
            bytes = new byte[header.FileLength];
            stream.Position = 0;
            stream.ReadExactly(bytes);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw Refused(
                path,
                $"there is no such file (looked for '{Path.GetFullPath(path)}').",
                "Check the path, or make a profile with 'foretoken tune'.",
                e
            );
        }
        catch (GgufFormatException e)
        {
            throw Refused(path, $"it is damaged, or no profile. {e.Message}.", MakeAgain, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Refused(path, $"it could not be read. {e.Message}", "Check the path and the permissions.", e);
        }

        if (header.GetString(ChecksumKey) != Checksum(bytes))
        {
            throw Refused(path, "it is damaged: its content does not match its checksum.", MakeAgain);
        }

        ModelProfile profile;
        try
        {
            profile = ProfileDecoder.Decode(header, bytes);
        }
        catch (Exception e)
            when (e is InvalidOperationException or ArgumentException or FormatException or OverflowException)
        {
            throw Refused(path, $"it contradicts itself. {e.Message}", MakeAgain, e);
        }

        return ProfileProblems.Find(profile) is { } problem ? throw Refused(path, problem, MakeAgain) : profile;
    }

    private static void CheckHeader(string path, GgufFile header)
    {
        if (header.GetInt64(VersionKey) is not { } version)
        {
            throw Refused(
                path,
                $"it is a GGUF file, but no profile (its architecture is '{header.GetString("general.architecture")}').",
                "Name a profile, or make one with 'foretoken tune'."
            );
        }

        if (version != FormatVersion)
        {
            throw Refused(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it has version {version}; this build reads version {FormatVersion}."
                ),
                "Make it again with the 'foretoken tune' of this build, or go without a profile (UseProfile = false, on the command line '--profile none')."
            );
        }

        if (header.IsTruncated)
        {
            throw Refused(
                path,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"it is truncated: it needs {header.RequiredLength} bytes and has {header.FileLength}."
                ),
                "Copy it again, or make it again with 'foretoken tune'."
            );
        }

        if (
            header.FileLength > MaxBytes
            || header.Metadata[0].Key != ChecksumKey
            || header.GetString(ChecksumKey)?.Length != NoChecksum.Length
        )
        {
            throw Refused(path, "it is damaged: it does not begin with its checksum.", MakeAgain);
        }

        string? features = header.GetString(FeaturesKey);
        if (features != AttentionFeatures.Definition && features != FeaturesWithMatches)
        {
            throw Refused(
                path,
                $"it was learned on the features '{features}'; this build computes '{FeaturesWithMatches}'.",
                "Make it again with the 'foretoken tune' of this build, or go without a profile (UseProfile = false, on the command line '--profile none')."
            );
        }
    }

    /// <summary>SHA-256 of a file's bytes with the checksum's own digits set to 0.</summary>
    internal static string Checksum(byte[] bytes)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(bytes.AsSpan(0, ChecksumOffset));
        hash.AppendData(Encoding.ASCII.GetBytes(NoChecksum));
        hash.AppendData(bytes.AsSpan(ChecksumOffset + NoChecksum.Length));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Short(string fingerprint) => fingerprint.Length > 12 ? fingerprint[..12] : fingerprint;

    private static ModelProfileException Refused(
        string path,
        string problem,
        string advice,
        Exception? innerException = null
    ) => new($"Profile '{path}': {problem} {advice}", innerException);
}
