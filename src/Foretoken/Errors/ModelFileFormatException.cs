namespace Foretoken.Errors;

/// <summary>A file is not GGUF, or what its header says about the model contradicts itself.</summary>
/// <inheritdoc cref="ModelFileException(string, string, string, Exception)" path="/param"/>
public sealed class ModelFileFormatException(
    string path,
    string problem,
    string advice,
    Exception? innerException = null
) : ModelFileException(path, problem, advice, innerException);
