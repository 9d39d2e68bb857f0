using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using FunctionCallContent = Microsoft.SemanticKernel.FunctionCallContent;

namespace Foretoken.SemanticKernel;

/// <summary>
/// The chat completion service of a chat client, which reads base settings as Foretoken's: the settings of a prompt in JSON
/// or YAML are base settings. Calls that the caller invokes name plugin and function apart, as those of Semantic Kernel's own
/// connectors do.
/// </summary>
internal sealed class ForetokenChatCompletionService(IChatCompletionService inner) : IChatCompletionService
{
    public IReadOnlyDictionary<string, object?> Attributes => inner.Attributes;

    public async Task<IReadOnlyList<ChatMessageContent>> GetChatMessageContentsAsync(
        ChatHistory chatHistory,
        PromptExecutionSettings? executionSettings = null,
        Kernel? kernel = null,
        CancellationToken cancellationToken = default
    )
    {
        ForetokenPromptExecutionSettings? settings = Read(executionSettings);
        IReadOnlyList<ChatMessageContent> answers = await inner
            .GetChatMessageContentsAsync(chatHistory, settings, kernel, cancellationToken)
            .ConfigureAwait(false);
        foreach (ChatMessageContent answer in answers)
        {
            for (int i = 0; i < answer.Items.Count; i++)
            {
                if (
                    answer.Items[i] is FunctionCallContent { PluginName: null } call
                    && Find(call.FunctionName, settings, chatHistory, kernel) is { } function
                )
                {
                    answer.Items[i] = new FunctionCallContent(
                        function.Name,
                        function.PluginName,
                        call.Id,
                        call.Arguments
                    )
                    {
                        Exception = call.Exception,
                        InnerContent = call.InnerContent,
                        Metadata = call.Metadata,
                        MimeType = call.MimeType,
                        ModelId = call.ModelId,
                    };
                }
            }
        }
        return answers;
    }

    public async IAsyncEnumerable<StreamingChatMessageContent> GetStreamingChatMessageContentsAsync(
        ChatHistory chatHistory,
        PromptExecutionSettings? executionSettings = null,
        Kernel? kernel = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        ForetokenPromptExecutionSettings? settings = Read(executionSettings);
        await foreach (
            StreamingChatMessageContent update in inner
                .GetStreamingChatMessageContentsAsync(chatHistory, settings, kernel, cancellationToken)
                .ConfigureAwait(false)
        )
        {
            for (int i = 0; i < update.Items.Count; i++)
            {
                if (
                    update.Items[i] is StreamingFunctionCallUpdateContent { Name: { } name } call
                    && Find(name, settings, chatHistory, kernel) is { } function
                )
                {
                    update.Items[i] = new StreamingFunctionCallUpdateContent(
                        call.CallId,
                        // as FunctionCallContentBuilder takes it apart
                        $"{function.PluginName}-{function.Name}",
                        call.Arguments,
                        call.FunctionCallIndex
                    )
                    {
                        ChoiceIndex = call.ChoiceIndex,
                        InnerContent = call.InnerContent,
                        Metadata = call.Metadata,
                        ModelId = call.ModelId,
#pragma warning disable SKEXP0001 // passed on as it is
                        RequestIndex = call.RequestIndex,
#pragma warning restore SKEXP0001
                    };
                }
            }
            yield return update;
        }
    }

    /// <summary>The function of a plugin that the model knows by this name; null for none.</summary>
    private static KernelFunction? Find(
        string name,
        ForetokenPromptExecutionSettings? settings,
        ChatHistory history,
        Kernel? kernel
    ) =>
        settings
            ?.FunctionChoiceBehavior?.GetConfiguration(new(history) { Kernel = kernel })
            .Functions?.FirstOrDefault(function =>
                !string.IsNullOrEmpty(function.PluginName) && ((AITool)function).Name == name
            );

    private static ForetokenPromptExecutionSettings? Read(PromptExecutionSettings? settings) =>
        settings is null ? null : ForetokenPromptExecutionSettings.FromExecutionSettings(settings);
}
