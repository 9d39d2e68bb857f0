using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Foretoken.Tests.Sessions;

namespace Foretoken.Tests.Chat;

/// <summary>Unpatched llama.cpp of the same release and flags, in a process of its own.</summary>
internal sealed class Baseline : IDisposable
{
    private readonly Process _process;

    internal Baseline(string model, int contextSize, params string[] options)
    {
        string artifacts = Path.Combine(TestModel.Root, "artifacts", "native");
        string key = File.ReadAllText(Path.Combine(artifacts, "current")).Trim();
        ProcessStartInfo start = new(Path.Combine(artifacts, key, "stock", "foretoken-baseline"))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            ArgumentList =
            {
                "--model",
                model,
                "--ctx",
                contextSize.ToString(CultureInfo.InvariantCulture),
                "--threads",
                // unlike a session's, 0 does not mean the machine's cores here
                (TestModel.Threads > 0 ? TestModel.Threads : Environment.ProcessorCount).ToString(
                    CultureInfo.InvariantCulture
                ),
            },
        };
        foreach (string option in options)
        {
            start.ArgumentList.Add(option);
        }
        _process = Process.Start(start)!;
        Read();
    }

    /// <summary>The tokens that greedy decoding gives behind a prompt.</summary>
    internal int[] Greedy(IEnumerable<int> prompt, int count)
    {
        Ask($"prefill-tokens {string.Join(' ', prompt)}");
        using JsonDocument answer = Ask(string.Create(CultureInfo.InvariantCulture, $"decode {count}"));
        return [.. answer.RootElement.GetProperty("tokens").EnumerateArray().Select(token => token.GetInt32())];
    }

    /// <summary>The logits of the last token of a prompt.</summary>
    internal float[] Logits(IEnumerable<int> prompt)
    {
        Ask($"prefill-tokens {string.Join(' ', prompt)}");
        string path = Path.GetTempFileName();
        try
        {
            Ask($"logits {path}");
            return MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(path)).ToArray();
        }
        finally
        {
            File.Delete(path);
        }
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
    }

    private JsonDocument Ask(string command)
    {
        _process.StandardInput.WriteLine(command);
        return Read();
    }

    private JsonDocument Read()
    {
        string line = _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("The baseline ended.");
        JsonDocument answer = JsonDocument.Parse(line);
        return answer.RootElement.TryGetProperty("error", out JsonElement error)
            ? throw new InvalidOperationException(error.GetString())
            : answer;
    }
}
