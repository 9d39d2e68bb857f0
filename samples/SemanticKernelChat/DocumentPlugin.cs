using System.ComponentModel;
using Microsoft.SemanticKernel;

namespace Foretoken.Samples.SemanticKernelChat;

/// <summary>What the kernel can do for the model.</summary>
internal sealed class DocumentPlugin(string path)
{
    [KernelFunction("read")]
    [Description("Reads the document that the user asks about.")]
    public Task<string> ReadAsync(CancellationToken cancellationToken) =>
        File.ReadAllTextAsync(path, cancellationToken);
}
