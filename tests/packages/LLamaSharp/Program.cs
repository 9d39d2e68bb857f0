// what an application with the packages Foretoken.LLamaSharp and Foretoken.Native.Cpu looks like
using Foretoken.LLamaSharp;
using Foretoken.Sessions;
using LLama;
using LLama.Common;
using LLama.Native;

NativeLibraryConfig.LLama.WithForetoken();
ModelParams parameters = new(args[0]) { ContextSize = 1024, GpuLayerCount = 0 };
using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
using LLamaContext context = weights.CreateContext(parameters);
using StagedContext staged = new(context);
InteractiveExecutor executor = new(context);

string document = string.Concat(Enumerable.Repeat("The ferry crosses the river in the morning. ", 40));
string prompt = $"{document}\n\nThis text is about";
PrefillReport report = await staged.PrefillAsync(executor, prompt, new() { TargetTtftSpeedup = 2 });
string answer = "";
await foreach (string text in executor.InferAsync(prompt, new InferenceParams { MaxTokens = 12 }))
{
    answer += text;
}
Console.WriteLine(answer);
Console.WriteLine($"kept less: {answer.Length > 0 && report.Stages[^1].Tokens < report.PromptTokens}");
