using System.Text;
using System.Text.Json;
using Foretoken.Chat;
using Foretoken.Errors;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Tuning.Prompts;

/// <summary>A prompt as the model reads it.</summary>
/// <param name="Tokens">All tokens, those of the answer's start included.</param>
/// <param name="Origins">Where each of the thinned tokens comes from.</param>
/// <param name="ThinnedTokens">Leading tokens that a prefill may thin; the rest is computed in full behind them.</param>
internal sealed record RenderedPrompt(int[] Tokens, ReadOnlyMemory<TokenOrigin> Origins, int ThinnedTokens);

/// <summary>Renders prompts with the model's own chat template.</summary>
internal sealed class PromptRenderer : IDisposable
{
    private readonly ChatTemplate _template;

    /// <exception cref="ChatTemplateException">The model has no usable template.</exception>
    internal PromptRenderer(ForetokenModel model) => _template = new ChatTemplate(model, templateOverride: null);

    /// <exception cref="ChatTemplateException">The template rejected the conversation.</exception>
    internal RenderedPrompt Render(DocumentPrompt prompt)
    {
        using ChatPrompt whole = _template.Render(Json(prompt.Messages, prompt.AnswerStart));
        int thinned = whole.Tokens.Length;
        if (prompt.QuestionAt == QuestionPlace.NextTurn)
        {
            // what the cache holds when the next turn comes: the first message and the marker of the answer to it
            using ChatPrompt first = _template.Render(Json([prompt.Messages[0]], answerStart: null));
            thinned = first.Tokens.AsSpan().CommonPrefixLength(whole.Tokens);
        }

        return new RenderedPrompt(whole.Tokens, whole.Origins.AsMemory(0, thinned), thinned);
    }

    public void Dispose() => _template.Dispose();

    private static string Json(IReadOnlyList<ChatMessage> messages, string? answerStart)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            ChatMessageJson.WriteMessages(json, messages, instructions: null);
            if (answerStart is not null)
            {
                json.WriteString("continue_text", answerStart);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }
}
