using Microsoft.SemanticKernel;
using YamlDotNet.Serialization;

namespace Foretoken.SemanticKernel.Tests;

/// <summary>
/// Reads a prompt file in YAML the way Semantic Kernel's own reader hands it over: every value of the execution settings is a
/// string, a list or a dictionary of such, because YAML does not say of what type a setting is.
/// </summary>
internal static class PromptYaml
{
    public static PromptTemplateConfig Read(string text)
    {
        var file = new DeserializerBuilder().Build().Deserialize<Dictionary<string, object>>(text);
        PromptTemplateConfig prompt = new((string)file["template"])
        {
            Name = (string?)file.GetValueOrDefault("name"),
            InputVariables =
            [
                .. Maps(file, "input_variables").Select(v => new InputVariable { Name = (string)v["name"] }),
            ],
        };
        foreach ((object service, object values) in (Dictionary<object, object>)file["execution_settings"])
        {
            PromptExecutionSettings settings = new() { ExtensionData = new Dictionary<string, object>() };
            foreach ((object key, object value) in (Dictionary<object, object>)values)
            {
                if (key is "function_choice_behavior")
                {
                    settings.FunctionChoiceBehavior = ((Dictionary<object, object>)value)["type"] is "required"
                        ? FunctionChoiceBehavior.Required()
                        : throw new ArgumentException("Only what the tests use is read.", nameof(text));
                }
                else
                {
                    settings.ExtensionData.Add((string)key, value);
                }
            }
            prompt.AddExecutionSettings(settings, (string)service);
        }
        return prompt;
    }

    private static IEnumerable<Dictionary<object, object>> Maps(Dictionary<string, object> file, string key) =>
        file.GetValueOrDefault(key) is List<object> items ? items.Cast<Dictionary<object, object>>() : [];
}
