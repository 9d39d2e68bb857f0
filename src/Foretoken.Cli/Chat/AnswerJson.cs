using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Foretoken.Cli.Chat;

/// <summary>An answer as one JSON object; names in snake_case, as in the report.</summary>
internal static class AnswerJson
{
    internal static string Write(Answer answer, string? model, bool indented)
    {
        using MemoryStream stream = new();
        // the text goes to a terminal or a file, not into a web page
        JsonWriterOptions options = new()
        {
            Indented = indented,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        };
        using (Utf8JsonWriter json = new(stream, options))
        {
            json.WriteStartObject();
            json.WriteString("answer", answer.Text);
            json.WriteString("model", model);
            json.WriteString("finish_reason", answer.WasCancelled ? "cancelled" : answer.FinishReason?.Value);
            Number(json, "output_tokens", answer.OutputTokens);
            Number(json, "restored_tokens", answer.RestoredTokens);
            // a report without a completion says that nothing was completed
            Number(json, "completed_tokens", answer.Report is { } full ? full.Completion?.Tokens ?? 0 : null);
            Number(json, "complete_at_output_token", answer.Report?.Completion?.CompleteAtOutputToken);
            Number(json, "completion_time_ms", Round(answer.Report?.Completion?.Time.TotalMilliseconds));
            Number(json, "tokens_per_second", Round(answer.TokensPerSecond));
            if (answer.Report is { } report)
            {
                json.WritePropertyName("report");
                using JsonDocument document = JsonDocument.Parse(report.ToJson());
                document.WriteTo(json);
            }
            else
            {
                json.WriteNull("report");
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static double? Round(double? value) => value is { } number ? Math.Round(number, 3) : null;

    private static void Number(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
