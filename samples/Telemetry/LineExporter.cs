using OpenTelemetry;

namespace Foretoken.Samples.Telemetry;

/// <summary>Writes what it is given to standard error, a line or more each.</summary>
internal sealed class LineExporter<T>(Func<T, string> format) : BaseExporter<T>
    where T : class
{
    public override ExportResult Export(in Batch<T> batch)
    {
        foreach (T one in batch)
        {
            Console.Error.WriteLine(format(one));
        }

        return ExportResult.Success;
    }
}
