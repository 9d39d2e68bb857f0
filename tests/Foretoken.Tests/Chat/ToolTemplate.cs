using Foretoken.Samples;

namespace Foretoken.Tests.Chat;

/// <summary>A chat template that describes functions and calls, as those of models that were trained to call functions do.</summary>
internal static class ToolTemplate
{
    internal static readonly string Text = SampleFiles.ToolTemplate;
}
