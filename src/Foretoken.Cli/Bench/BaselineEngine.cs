using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Foretoken.Cli.Bench;

/// <summary>Unpatched llama.cpp, as a child process that is told over its standard input what to run.</summary>
internal sealed class BaselineEngine : IBenchEngine, IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _stderr = new();

    private BaselineEngine(Process process) => _process = process;

    /// <summary>The settings it really has, as it tells them.</summary>
    internal JsonElement Info { get; private set; }

    /// <exception cref="CliException">It could not be started, or does not have the settings that were asked for.</exception>
    internal static async Task<BaselineEngine> StartAsync(
        string executable,
        string modelPath,
        BenchSettings settings,
        CancellationToken cancellationToken
    )
    {
        ProcessStartInfo start = new(executable)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        foreach ((string name, object value) in Arguments(modelPath, settings))
        {
            start.ArgumentList.Add(name);
            start.ArgumentList.Add(Convert.ToString(value, CultureInfo.InvariantCulture)!);
        }
        Process process =
            Process.Start(start) ?? throw new CliException($"The baseline '{executable}' could not be started.");
        BaselineEngine engine = new(process);
        try
        {
            process.ErrorDataReceived += (_, e) => engine._stderr.AppendLine(e.Data);
            process.BeginErrorReadLine();
            engine.Info = await Task.Run(() => engine.ReadAnswer("the start"), cancellationToken)
                .WaitAsync(cancellationToken);
            engine.RequireSettings(settings);
            return engine;
        }
        catch
        {
            engine.Dispose();
            throw;
        }
    }

    public EngineRun Run(int[] prompt, BenchCase what, int decodeTokens, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        // a cancelled benchmark does not wait for a run to end
        using CancellationTokenRegistration registration = cancellationToken.Register(Kill);
        StringBuilder command = new("prefill-tokens");
        foreach (int token in prompt)
        {
            command.Append(CultureInfo.InvariantCulture, $" {token}");
        }
        JsonElement prefill = Ask(command.ToString(), cancellationToken);
        EngineRun run = new()
        {
            TtftMs = prefill.GetProperty("wall_us").GetInt64() / 1000.0,
            CpuMs = prefill.GetProperty("cpu_us").GetInt64() / 1000.0,
            FirstToken = prefill.GetProperty("argmax").GetInt32(),
            LogitsHash = prefill.GetProperty("logits_fnv1a64").GetString()!,
        };
        if (decodeTokens == 0)
        {
            return run;
        }
        JsonElement decode = Ask(
            string.Create(CultureInfo.InvariantCulture, $"decode {decodeTokens}"),
            cancellationToken
        );
        return run with
        {
            DecodedTokens = [.. decode.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32())],
            DecodeMs = [.. decode.GetProperty("us").EnumerateArray().Select(t => t.GetInt64() / 1000.0)],
        };
    }

    /// <summary>Largest memory that the process had so far, bytes.</summary>
    internal long PeakMemoryBytes() => Ask("info", CancellationToken.None).GetProperty("peak_memory_bytes").GetInt64();

    public void Dispose()
    {
        try
        {
            if (!_process.HasExited)
            {
                _process.StandardInput.WriteLine("quit");
                _process.StandardInput.Close();
                if (!_process.WaitForExit(TimeSpan.FromSeconds(5)))
                {
                    Kill();
                }
            }
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            Kill();
        }
        _process.Dispose();
    }

    private static IEnumerable<(string Name, object Value)> Arguments(string modelPath, BenchSettings settings) =>
        [
            ("--model", modelPath),
            ("--ctx", settings.ContextSize),
            ("--batch", settings.BatchSize),
            ("--ubatch", settings.UbatchSize),
            ("--threads", settings.Threads),
            ("--threads-batch", settings.Threads),
            ("--gpu-layers", settings.GpuLayers),
            ("--type-k", settings.KvCacheType),
            ("--type-v", settings.KvCacheType),
            ("--flash-attn", settings.FlashAttention),
        ];

    private void RequireSettings(BenchSettings settings)
    {
        (string Name, string Expected)[] expected =
        [
            ("n_ubatch", Text(settings.UbatchSize)),
            ("n_batch", Text(settings.BatchSize)),
            ("n_threads", Text(settings.Threads)),
            ("n_threads_batch", Text(settings.Threads)),
            ("n_gpu_layers", Text(settings.GpuLayers)),
            ("type_k", settings.KvCacheType),
            ("type_v", settings.KvCacheType),
            ("flash_attn", settings.FlashAttention),
        ];
        foreach ((string name, string value) in expected)
        {
            string actual = Info.TryGetProperty(name, out JsonElement element) ? element.ToString() : "nothing";
            // llama.cpp spells on/off its own way
            string normalised = actual switch
            {
                "enabled" => "on",
                "disabled" => "off",
                _ => actual,
            };
            if (normalised != value)
            {
                throw new CliException(
                    $"The baseline runs with {name} = {actual}, and Foretoken with {value}. The comparison would not be fair; choose settings that both can have."
                );
            }
        }

        static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
    }

    private JsonElement Ask(string command, CancellationToken cancellationToken)
    {
        try
        {
            _process.StandardInput.WriteLine(command);
            _process.StandardInput.Flush();
            return ReadAnswer(command.Split(' ')[0]);
        }
        catch (Exception e) when (e is IOException or CliException && cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(e.Message, e, cancellationToken);
        }
        catch (IOException e)
        {
            throw new CliException($"The baseline ended: {e.Message} {_stderr}".TrimEnd(), e);
        }
    }

    private JsonElement ReadAnswer(string what)
    {
        string line =
            _process.StandardOutput.ReadLine()
            ?? throw new CliException($"The baseline ended while it did {what}. {_stderr}".TrimEnd());
        using JsonDocument json = JsonDocument.Parse(line);
        return json.RootElement.TryGetProperty("error", out JsonElement error)
            ? throw new CliException($"The baseline failed at {what}: {error.GetString()}")
            : json.RootElement.Clone();
    }

    private void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // it has ended by itself
        }
    }
}
