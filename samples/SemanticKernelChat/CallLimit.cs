using Microsoft.SemanticKernel;

namespace Foretoken.Samples.SemanticKernelChat;

/// <summary>
/// Lets the model call functions once in a request, and ends the request when it wants more: a small model may go on to read the
/// same document until its context is full.
/// </summary>
internal sealed class CallLimit : IAutoFunctionInvocationFilter
{
    public Task OnAutoFunctionInvocationAsync(
        AutoFunctionInvocationContext context,
        Func<AutoFunctionInvocationContext, Task> next
    )
    {
        if (context.RequestSequenceIndex == 0)
        {
            return next(context);
        }
        context.Terminate = true;
        return Task.CompletedTask;
    }
}
