using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;

namespace Foretoken.SemanticKernel;

/// <summary>
/// A chat client as a kernel needs it: functions are invoked by the kernel, with its filters, and answers have in their properties and
/// raw representation what Semantic Kernel makes metadata and inner content of.
/// </summary>
internal static class KernelChatClient
{
    /// <summary>Disposing the result leaves <paramref name="client"/> alone, which belongs to whoever registered it.</summary>
    internal static IChatClient Create(IChatClient client, ILoggerFactory? loggerFactory, IServiceProvider services) =>
        new Borrowed(client)
            .AsBuilder()
            .Use(pipeline => new KernelAnswers(pipeline))
            .UseKernelFunctionInvocation(loggerFactory)
            .Use(model => new KernelCalls(model))
            .ConfigureOptions(ForetokenPromptExecutionSettings.ApplyLeftovers)
            .Build(services);

    private sealed class Borrowed(IChatClient client) : DelegatingChatClient(client)
    {
#pragma warning disable CA2215 // calling the base would dispose the borrowed client
        protected override void Dispose(bool disposing) { }
#pragma warning restore CA2215
    }
}
