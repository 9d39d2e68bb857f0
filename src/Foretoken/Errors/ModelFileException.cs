namespace Foretoken.Errors;

/// <summary>A model file cannot be used. The message says what is wrong, <see cref="Advice"/> what to do.</summary>
public class ModelFileException : ForetokenException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="path">The file.</param>
    /// <param name="problem">What is wrong with it.</param>
    /// <param name="advice">What to do.</param>
    /// <param name="innerException">What was caught underneath, if anything.</param>
    public ModelFileException(string path, string problem, string advice, Exception? innerException = null)
        : base($"Model file '{path}': {problem} {advice}", innerException)
    {
        Path = path;
        Advice = advice;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>What to do.</summary>
    public string Advice { get; }
}
