namespace Foretoken.Diagnostics;

/// <summary>Names under which the library can be observed. Nothing is recorded until somebody listens.</summary>
public static class ForetokenDiagnostics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "Foretoken";

    /// <summary>Name of the activity source.</summary>
    public const string ActivitySourceName = "Foretoken";
}
