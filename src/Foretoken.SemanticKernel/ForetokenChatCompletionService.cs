using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace Foretoken.SemanticKernel;

/// <summary>
/// The chat completion service of a chat client, which reads base settings as Foretoken's: the settings of a prompt in JSON
/// or YAML are base settings.
/// </summary>
internal sealed class ForetokenChatCompletionService(IChatCompletionService inner) : IChatCompletionService
{
    public IReadOnlyDictionary<string, object?> Attributes => inner.Attributes;

    public Task<IReadOnlyList<ChatMessageContent>> GetChatMessageContentsAsync(
        ChatHistory chatHistory,
        PromptExecutionSettings? executionSettings = null,
        Kernel? kernel = null,
        CancellationToken cancellationToken = default
    ) => inner.GetChatMessageContentsAsync(chatHistory, Read(executionSettings), kernel, cancellationToken);

    public IAsyncEnumerable<StreamingChatMessageContent> GetStreamingChatMessageContentsAsync(
        ChatHistory chatHistory,
        PromptExecutionSettings? executionSettings = null,
        Kernel? kernel = null,
        CancellationToken cancellationToken = default
    ) => inner.GetStreamingChatMessageContentsAsync(chatHistory, Read(executionSettings), kernel, cancellationToken);

    private static ForetokenPromptExecutionSettings? Read(PromptExecutionSettings? settings) =>
        settings is null ? null : ForetokenPromptExecutionSettings.FromExecutionSettings(settings);
}
