using System.Text.Json.Nodes;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Chat;

/// <summary>
/// Renders requests as the template of a model can take them, and refuses what it cannot: functions and their calls, several calls
/// at once, efforts of reasoning.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class RequestRenderer : IDisposable
{
    private readonly ChatTemplate _template;
    private readonly bool _useGenericTools;
    private readonly ILogger _logger;
    private readonly Lazy<TemplateAbilities> _abilities;

    /// <exception cref="ChatTemplateException">The model has no template, or it cannot be parsed.</exception>
    internal RequestRenderer(ForetokenModel model, ForetokenChatClientOptions options, ILogger logger)
    {
        _template = new ChatTemplate(model, options.ChatTemplate);
        _useGenericTools = options.UseGenericTools;
        _logger = logger;
        _abilities = new(() => TemplateAbilities.Of(_template));
    }

    /// <exception cref="ChatTemplateException">The template rejected the conversation.</exception>
    /// <exception cref="NotSupportedException">The template does not know what was asked for.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    internal ChatPrompt Render(ChatRequest request, CancellationToken cancellationToken = default)
    {
        bool hasFunctions = request.Tools.Count > 0;
        // a plain conversation says nothing that depends on the template
        if (!hasFunctions && !request.HasCalls && request.Effort is null)
        {
            return _template.Render(request.RenderJson, cancellationToken: cancellationToken);
        }
        TemplateAbilities abilities = _abilities.Value;
        JsonObject json = JsonNode.Parse(request.RenderJson)!.AsObject();
        bool isGeneric = _useGenericTools && !(abilities.DescribesFunctions && abilities.HasCallFormat);
        if (hasFunctions && !isGeneric)
        {
            RefuseFunctions(request, abilities);
        }
        if (request.Effort is { } effort)
        {
            SetEffort(json, effort, abilities);
        }
        if (isGeneric)
        {
            GenericTools? tools = GenericTools.Apply(json);
            return _template.Render(json.ToJsonString(), tools, cancellationToken);
        }
        if (!abilities.TakesSeveralCalls)
        {
            OneCallAtOnce(json);
        }
        if (abilities.NeedsStrictCallIds)
        {
            MakeCallIdsStrict(json["messages"]!.AsArray());
        }
        ChatPrompt prompt = _template.Render(json.ToJsonString(), cancellationToken: cancellationToken);
        if (hasFunctions)
        {
            bool several = (bool?)json["parallel_tool_calls"] == true;
            prompt.RestrictCalls(request.RequiresCall, several);
            // a demanded call cannot but be in the template's format
            prompt.Untagged = request.RequiresCall ? null : new UntaggedCalls([.. request.Tools.Keys], several);
        }
        return prompt;
    }

    public void Dispose() => _template.Dispose();

    private void RefuseFunctions(ChatRequest request, TemplateAbilities abilities)
    {
        const string Ways =
            "Use a model that was trained to call functions, give a template that knows of them in ForetokenChatClientOptions.ChatTemplate, or set ForetokenChatClientOptions.UseGenericTools to describe them in the system message.";
        if (!abilities.DescribesFunctions)
        {
            throw new NotSupportedException(
                $"The chat template of this model has no place for functions, so it would never know of '{request.Tools.Keys.First()}'. {Ways}"
            );
        }
        if (!abilities.HasCallFormat)
        {
            if (request.RequiresCall)
            {
                throw new NotSupportedException(
                    $"The chat template of this model describes functions, but in no format of calls that is known here, so that a call cannot be demanded ('{request.Tools.Keys.First()}', ChatToolMode.RequireAny or RequireSpecific). {Ways}"
                );
            }
            _logger.FunctionsWithoutFormat();
        }
        if (request.IsJson)
        {
            throw new NotSupportedException(
                "A response format beside tools is not supported in the format of calls of this model's chat template: one grammar would have to be both. Ask for the JSON in a request of its own, without tools or with ChatToolMode.None, once the tools have been called."
            );
        }
    }

    private static void SetEffort(JsonObject json, ReasoningEffort effort, TemplateAbilities abilities)
    {
        if (effort == ReasoningEffort.None)
        {
            if (abilities.Reasons && !abilities.CanStopReasoning)
            {
                throw new NotSupportedException(
                    "The chat template of this model cannot switch reasoning off, so ReasoningEffort.None is not possible. Leave ReasoningOptions.Effort unset; ReasoningOptions.Output = None leaves the reasoning out of the response."
                );
            }
            json["enable_thinking"] = false;
            return;
        }
        if (!abilities.HasEffortLevels)
        {
            throw new NotSupportedException(
                abilities.Reasons || abilities.CanStopReasoning
                    ? $"The chat template of this model reasons without levels of effort, so ReasoningEffort.{effort} is not possible. Leave ReasoningOptions.Effort unset{(abilities.CanStopReasoning ? ", or set it to None to switch reasoning off" : "")}."
                    : $"The chat template of this model does not reason, so ReasoningEffort.{effort} is not possible. Leave ReasoningOptions.Effort unset, or set it to None."
            );
        }
        json["template_kwargs"] = new JsonObject
        {
            // the levels that templates know; there is none above high
            ["reasoning_effort"] = effort switch
            {
                ReasoningEffort.Low => "low",
                ReasoningEffort.Medium => "medium",
                _ => "high",
            },
        };
    }

    /// <summary>
    /// Calls that came in one message get a message each, followed by its result, and new ones come one at a time: the template
    /// would refuse or forget the others.
    /// </summary>
    private static void OneCallAtOnce(JsonObject json)
    {
        json.Remove("parallel_tool_calls");
        JsonArray messages = json["messages"]!.AsArray();
        for (int i = 0; i < messages.Count; i++)
        {
            if (messages[i]!["tool_calls"] is not JsonArray { Count: > 1 } calls)
            {
                continue;
            }
            int end = i + 1;
            List<JsonNode> results = [];
            while (end < messages.Count && (string?)messages[end]!["role"] == "tool")
            {
                results.Add(messages[end]!);
                messages.RemoveAt(end);
            }
            JsonNode message = messages[i]!;
            messages.RemoveAt(i);
            foreach (JsonNode? call in calls)
            {
                JsonNode single = message.DeepClone();
                single["tool_calls"] = new JsonArray(call!.DeepClone());
                messages.Insert(i++, single);
                foreach (JsonNode result in results.Where(result => IsOf(result, call)).ToList())
                {
                    messages.Insert(i++, result);
                    results.Remove(result);
                }
                // what the message said, it said once
                message["content"] = "";
                message.AsObject().Remove("reasoning_content");
            }
            foreach (JsonNode result in results)
            {
                messages.Insert(i++, result);
            }
            i--;
        }

        static bool IsOf(JsonNode result, JsonNode call) => (string?)result["tool_call_id"] == (string?)call["id"];
    }

    private static void MakeCallIdsStrict(JsonArray messages)
    {
        foreach (JsonNode? message in messages)
        {
            foreach (JsonNode? call in message!["tool_calls"] as JsonArray ?? [])
            {
                call!["id"] = CallIds.ToStrict((string?)call["id"] ?? "");
            }
            if (message["tool_call_id"] is { } id)
            {
                message["tool_call_id"] = CallIds.ToStrict((string)id!);
            }
        }
    }
}
