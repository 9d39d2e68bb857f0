using System.Text;
using System.Text.Json;
using Foretoken.Inference;
using Foretoken.Interop;

namespace Foretoken.Chat;

/// <summary>The chat template of a model, parsed once.</summary>
internal sealed class ChatTemplate : IDisposable
{
    private readonly SafeChatHandle _handle;

    /// <exception cref="ChatTemplateException">The model has no template, or it cannot be parsed.</exception>
    internal ChatTemplate(ForetokenModel model, string? templateOverride)
    {
        int status = NativeMethods.ftk_chat_create(model.Handle, templateOverride, out _handle);
        if (status != 0)
        {
            string message = NativeCall.LastError();
            _handle.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        _handle.KeepAlive(model.Handle);
    }

    /// <exception cref="ChatTemplateException">The template rejected the conversation.</exception>
    internal ChatPrompt Render(string requestJson)
    {
        int status = NativeMethods.ftk_chat_render(_handle, requestJson, out SafeChatPromptHandle prompt);
        if (status != 0)
        {
            string message = NativeCall.LastError();
            prompt.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, CancellationToken.None);
        }
        prompt.KeepAlive(_handle);
        return new ChatPrompt(prompt);
    }

    public void Dispose() => _handle.Dispose();
}

/// <summary>One rendered conversation: its tokens, and how answers to it are constrained and read.</summary>
internal sealed class ChatPrompt : IDisposable
{
    private readonly SafeChatPromptHandle _handle;

    internal unsafe ChatPrompt(SafeChatPromptHandle handle)
    {
        _handle = handle;
        long count = NativeMethods.ftk_chat_prompt_n_tokens(handle);
        Tokens = new int[count];
        Origins = new TokenOrigin[count];
        fixed (int* tokens = Tokens)
        fixed (TokenOrigin* origins = Origins)
        {
            NativeCall.Check(NativeMethods.ftk_chat_prompt_tokens(handle, tokens, (byte*)origins, count));
        }
        string info = NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_chat_prompt_info(handle, buffer, capacity, out needed)
        );
        Info = JsonSerializer.Deserialize(info, ChatJsonContext.Default.ChatPromptInfo)!;
    }

    internal int[] Tokens { get; }

    internal TokenOrigin[] Origins { get; }

    internal ChatPromptInfo Info { get; }

    /// <summary>Reads generated text, UTF-8, in the format of this prompt.</summary>
    /// <exception cref="ChatTemplateException">It does not follow the format.</exception>
    internal unsafe ParsedAnswer Parse(ReadOnlySpan<byte> text, bool isPartial)
    {
        fixed (byte* bytes = text)
        {
            byte* begin = bytes;
            int count = text.Length;
            string json = NativeCall.ReadText(
                (byte* buffer, long capacity, out long needed) =>
                    NativeMethods.ftk_chat_parse(_handle, begin, count, isPartial ? 1 : 0, buffer, capacity, out needed)
            );
            return JsonSerializer.Deserialize(json, ChatJsonContext.Default.ParsedAnswer)!;
        }
    }

    public void Dispose() => _handle.Dispose();
}
