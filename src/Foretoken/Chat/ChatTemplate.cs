using System.Text.Json;
using System.Text.RegularExpressions;
using Foretoken.Errors;
using Foretoken.Interop;
using Foretoken.Sessions;

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

    /// <param name="requestJson">The request, as the native library takes it.</param>
    /// <param name="tools">The format of calls, where it is not the template's own.</param>
    /// <param name="cancellationToken">Stops the template between two of its steps.</param>
    /// <exception cref="ChatTemplateException">
    /// The template rejected the conversation, or was stopped because it takes too many steps, makes too much text or calls itself
    /// too deep.
    /// </exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    internal ChatPrompt Render(
        string requestJson,
        GenericTools? tools = null,
        CancellationToken cancellationToken = default
    )
    {
        NativeCall.Check(NativeMethods.ftk_cancel_create(out SafeCancelHandle cancel), CancellationToken.None);
        using SafeCancelHandle ofThisCall = cancel;
        using CancellationTokenRegistration armed = NativeCancellation.Arm(cancel, cancellationToken);
        int status = NativeMethods.ftk_chat_render(_handle, requestJson, cancel, out SafeChatPromptHandle prompt);
        if (status != 0)
        {
            string message = NativeCall.LastError();
            prompt.Dispose();
            throw NativeCall.ToException((NativeStatus)status, message, cancellationToken);
        }
        prompt.KeepAlive(_handle);
        return new ChatPrompt(prompt, tools);
    }

    public void Dispose() => _handle.Dispose();
}

/// <summary>One rendered conversation: its tokens, and how answers to it are constrained and read.</summary>
internal sealed partial class ChatPrompt : IDisposable
{
    private readonly SafeChatPromptHandle _handle;

    internal unsafe ChatPrompt(SafeChatPromptHandle handle, GenericTools? tools)
    {
        _handle = handle;
        Tools = tools;
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
        if (tools is not null)
        {
            Info = Info with { Markers = [.. Info.Markers, GenericTools.Marker] };
            // a thinned description of functions describes nothing: it is kept, as what a template says of them is
            for (int i = 0; i < Origins.Length; i++)
            {
                Origins[i] = Origins[i] == TokenOrigin.System ? TokenOrigin.Template : Origins[i];
            }
        }
    }

    internal int[] Tokens { get; }

    internal TokenOrigin[] Origins { get; }

    internal ChatPromptInfo Info { get; private set; }

    /// <summary>The format of calls; null where it is the template's own.</summary>
    internal GenericTools? Tools { get; }

    /// <summary>What reads calls that are not in the template's format; null where that is all that is read.</summary>
    internal UntaggedCalls? Untagged { get; set; }

    /// <summary>
    /// Makes the grammar of calls as strict as the request is. Where a call is demanded, llama.cpp still lets a model write what it
    /// likes first, which may be all that it writes; and some formats let it go on with more calls although one is allowed.
    /// </summary>
    internal void RestrictCalls(bool demanded, bool several)
    {
        string grammar = Info.Grammar ?? "";
        if (demanded)
        {
            grammar = TextBeforeCalls().Replace(grammar, "");
        }
        if (!several)
        {
            grammar = FurtherCalls().Replace(grammar, "tool-call space");
        }
        Info = Info with { Grammar = grammar };
    }

    /// <summary>What the sampler is told beside the sampling itself.</summary>
    internal SamplerOptions Constrain(SamplerOptions sampling) =>
        Tools?.LazyGrammar is { } calls
            ? sampling with
            {
                Grammar = calls,
                GrammarLazy = true,
                GrammarTriggersJson = GenericTools.Triggers,
            }
            : sampling with
            {
                Grammar = Info.Grammar is { Length: > 0 } grammar ? grammar : null,
                GrammarLazy = Info.GrammarLazy,
                GrammarTriggersJson = Info.GrammarLazy ? Info.GrammarTriggers.GetRawText() : null,
                GrammarPrefix = Info.GrammarPrefix,
            };

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
            ParsedAnswer answer = JsonSerializer.Deserialize(json, ChatJsonContext.Default.ParsedAnswer)!;
            return Tools?.Read(answer, isPartial) ?? Untagged?.Read(answer, isPartial) ?? answer;
        }
    }

    public void Dispose() => _handle.Dispose();

    // the root rule is what stands in front of the answer, reasoning where there is some, text, and the rule of the calls
    [GeneratedRegex(@"(?<=^root ::= [^\n]*)\buntil-[0-9]+\??\s+(?=\(*tool-call)", RegexOptions.Multiline)]
    private static partial Regex TextBeforeCalls();

    [GeneratedRegex(@"(?<=^tool-calls ::= )\(tool-call space\)\+(?=\r?$)", RegexOptions.Multiline)]
    private static partial Regex FurtherCalls();
}
