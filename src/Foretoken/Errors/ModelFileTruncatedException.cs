using System.Globalization;

namespace Foretoken.Errors;

/// <summary>A model file ends before its tensors do, as after an interrupted download.</summary>
public sealed class ModelFileTruncatedException : ModelFileException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="path">The file.</param>
    /// <param name="requiredBytes">Bytes that its header asks for.</param>
    /// <param name="actualBytes">Bytes that it has.</param>
    public ModelFileTruncatedException(string path, long requiredBytes, long actualBytes)
        : base(
            path,
            string.Create(
                CultureInfo.InvariantCulture,
                $"it is truncated: its header lists tensors up to byte {requiredBytes}, but it has {actualBytes} bytes."
            ),
            "Download or copy it again."
        )
    {
        RequiredBytes = requiredBytes;
        ActualBytes = actualBytes;
    }

    /// <summary>Bytes that the file's header asks for.</summary>
    public long RequiredBytes { get; }

    /// <summary>Bytes that the file has.</summary>
    public long ActualBytes { get; }
}
