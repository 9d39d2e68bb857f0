namespace Foretoken.Samples.SemanticKernelChat;

/// <summary>The model that comes with the samples.</summary>
internal static class SampleModel
{
    internal static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string models = Path.Combine(folder.FullName, "samples", "models");
            if (Directory.Exists(models) && Directory.GetFiles(models, "*-00001-of-*.gguf") is [string model, ..])
            {
                return model;
            }
        }
        throw new FileNotFoundException("There is no samples/models folder above this program; name a MODEL.");
    }
}
