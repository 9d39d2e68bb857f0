namespace Foretoken.Errors;

/// <summary>A model file, or a shard of it, is not there.</summary>
/// <inheritdoc cref="ModelFileException(string, string, string, Exception)" path="/param"/>
public sealed class ModelFileNotFoundException(
    string path,
    string problem,
    string advice,
    Exception? innerException = null
) : ModelFileException(path, problem, advice, innerException);
