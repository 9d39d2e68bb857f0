// A question about a document, through Semantic Kernel:
//
//   SemanticKernelChat [DOCUMENT [QUESTION [SPEEDUP [MODEL]]]]
//
// The prompt calls the plugin, which works with every model. With a MODEL whose chat template knows of functions, the model
// calls the plugin itself.
using Foretoken;
using Foretoken.Errors;
using Foretoken.Samples;
using Foretoken.Samples.SemanticKernelChat;
using Foretoken.SemanticKernel;
using Foretoken.Sessions;
using Microsoft.SemanticKernel;

string document = args.ElementAtOrDefault(0) ?? SampleFiles.Document;
string question = args.ElementAtOrDefault(1) ?? "Which model is in this folder?";
if (args.Length > 4 || !File.Exists(document) || !Speedup.TryParse(args.ElementAtOrDefault(2), out double speedup))
{
    Console.Error.WriteLine(
        "Usage: SemanticKernelChat [DOCUMENT [QUESTION [SPEEDUP [MODEL]]]], with a DOCUMENT that exists and a SPEEDUP such as 2.5"
    );
    return 2;
}
string? model = args.ElementAtOrDefault(3);

try
{
    IKernelBuilder builder = Kernel
        .CreateBuilder()
        .AddForetokenChatCompletion(options => options.ModelPath = model ?? SampleFiles.Model);
    builder.Plugins.AddFromObject(new DocumentPlugin(document), "document");
    Kernel kernel = builder.Build();
    kernel.AutoFunctionInvocationFilters.Add(new CallLimit());
    using IDisposable? services = kernel.Services as IDisposable;

    ForetokenPromptExecutionSettings settings = new()
    {
        TargetTtftSpeedup = speedup,
        MaxTokens = 256,
        FunctionChoiceBehavior = model is null ? null : FunctionChoiceBehavior.Auto(),
    };
    string prompt = model is null
        ? "{{document.read}}\n\nAnswer this question about the document: {{$question}}"
        : "Read the document, then answer this question about it: {{$question}}";

    PrefillReport? report = null;
    await foreach (
        StreamingChatMessageContent update in kernel.InvokePromptStreamingAsync<StreamingChatMessageContent>(
            prompt,
            new KernelArguments(settings) { ["question"] = question }
        )
    )
    {
        Console.Write(update.Content);
        report = update.GetPrefillReport() ?? report;
    }
    Console.WriteLine();
    if (report is not null)
    {
        Console.Error.WriteLine(
            $"{report.PromptTokens} prompt tokens, first token after {report.TimeToFirstToken.TotalSeconds:0.00} s, "
                + $"asked for {report.TargetSpeedup:0.0#}x, promised {report.PromisedSpeedup:0.0#}x. {report.Reason}"
        );
    }
    return 0;
}
catch (Exception e) when (e is ForetokenException or NotSupportedException or ArgumentException or IOException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
