using System.Globalization;

namespace Foretoken.Errors;

/// <summary>A model needs more memory than there is.</summary>
public sealed class ModelFileTooLargeException : ModelFileException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="path">The file.</param>
    /// <param name="requiredBytes">Estimated bytes that the model needs.</param>
    /// <param name="availableBytes">Bytes that there are.</param>
    public ModelFileTooLargeException(string path, long requiredBytes, long availableBytes)
        : base(
            path,
            string.Create(
                CultureInfo.InvariantCulture,
                $"it needs about {requiredBytes / 1e9:0.0} GB of memory (weights, KV cache and buffers); {availableBytes / 1e9:0.0} GB are available."
            ),
            "Use a smaller or more strongly quantised model, a smaller context, or put layers on a GPU."
        )
    {
        RequiredBytes = requiredBytes;
        AvailableBytes = availableBytes;
    }

    /// <summary>Estimated bytes that the model needs.</summary>
    public long RequiredBytes { get; }

    /// <summary>Bytes that there are.</summary>
    public long AvailableBytes { get; }
}
