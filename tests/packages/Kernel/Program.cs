// what an application with the packages Foretoken.SemanticKernel and Foretoken.Native.Cpu looks like
using Foretoken.SemanticKernel;
using Foretoken.Sessions;
using Microsoft.SemanticKernel;

Kernel kernel = Kernel
    .CreateBuilder()
    .AddForetokenChatCompletion(options =>
    {
        options.ModelPath = args[0];
        options.ContextSize = 1024;
    })
    .Build();
using IDisposable? services = kernel.Services as IDisposable;
FunctionResult answer = await kernel.InvokePromptAsync(
    "{{$document}}\n\nWhat is this text about?",
    new(new ForetokenPromptExecutionSettings { TargetTtftSpeedup = 2, MaxTokens = 12 })
    {
        ["document"] = string.Concat(Enumerable.Repeat("The ferry crosses the river in the morning. ", 40)),
    }
);
PrefillReport report = answer.GetPrefillReport()!;
Console.WriteLine(answer);
Console.WriteLine($"kept less: {answer.ToString().Length > 0 && report.Stages[^1].Tokens < report.NewTokens}");
