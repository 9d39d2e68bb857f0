namespace Foretoken.Errors;

/// <summary>The architecture of a model cannot be used, or its prefill cannot be staged.</summary>
public sealed class ModelFileUnsupportedException : ModelFileException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="path">The file.</param>
    /// <param name="architecture">Its architecture.</param>
    /// <param name="problem">What is wrong with it.</param>
    /// <param name="advice">What to do.</param>
    public ModelFileUnsupportedException(string path, string architecture, string problem, string advice)
        : base(path, problem, advice)
    {
        Architecture = architecture;
    }

    /// <summary>The architecture, as in <c>general.architecture</c>.</summary>
    public string Architecture { get; }
}
