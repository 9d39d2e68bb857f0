namespace Foretoken.Tests.Chat;

/// <summary>Chat templates, each with one peculiarity that templates of real models have.</summary>
internal static class Templates
{
    /// <summary>Knows of messages and of nothing else.</summary>
    internal const string Plain = """
        {%- for message in messages %}
            {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """;

    /// <summary>Describes functions, but has no place for calls.</summary>
    internal const string DescribesOnly =
        """
            {%- if tools %}
                {{- '<|im_start|>system\nFunctions: ' + (tools | tojson) + '<|im_end|>\n' }}
            {%- endif %}
            """
        + "\n"
        + Plain;

    /// <summary>Takes one call in a message, and ids of nine letters and digits only.</summary>
    internal static readonly string Strict = ToolTemplate.Text.Replace(
        "{%- for call in message.tool_calls %}",
        """
        {%- if message.tool_calls and message.tool_calls | length > 1 %}
            {{- raise_exception('one call at a time') }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {%- if call.id is not defined or call.id | length != 9 %}
                {{- raise_exception('ids have nine characters') }}
            {%- endif %}
            {{- '\n[' + call.id + ']' }}
        """,
        StringComparison.Ordinal
    );

    /// <summary>Answers begin with reasoning, which can be switched off.</summary>
    internal const string Reasoning = """
        {%- for message in messages %}
            {{- '<|im_start|>' + message.role + '\n' }}
            {%- if message.role == 'assistant' and message.reasoning_content %}
                {{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}
            {%- endif %}
            {{- message.content + '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
            {%- if enable_thinking is defined and not enable_thinking %}
                {{- '<think>\n\n</think>\n\n' }}
            {%- else %}
                {{- '<think>\n' }}
            {%- endif %}
        {%- endif %}
        """;

    /// <summary>Is told how much to reason.</summary>
    internal const string Effort =
        """
            {{- '<|im_start|>system\nReasoning: ' + (reasoning_effort if reasoning_effort is defined else 'medium') + '<|im_end|>\n' }}
            """
        + "\n"
        + Plain;
}
