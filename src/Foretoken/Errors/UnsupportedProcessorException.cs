namespace Foretoken.Errors;

/// <summary>
/// The native library was compiled for more than this machine's processor has, or than its operating system supports. It was not
/// loaded, because its code would end the process with an illegal instruction.
/// </summary>
public sealed class UnsupportedProcessorException : NativeLibraryException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public UnsupportedProcessorException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public UnsupportedProcessorException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public UnsupportedProcessorException(string message, Exception? innerException)
        : base(message, innerException) { }

    internal UnsupportedProcessorException(string message, IReadOnlyList<string> missingFeatures)
        : base(message) => MissingFeatures = missingFeatures;

    /// <summary>The features that are missing, as the system names them, for example <c>avx512f</c>.</summary>
    public IReadOnlyList<string> MissingFeatures { get; } = [];
}
