using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;

namespace Foretoken.Cli.Bench;

/// <summary>Unpatched llama.cpp, as a child process that is told over its standard input what to run.</summary>
internal sealed class BaselineEngine : IBenchEngine, IDisposable
{
    private readonly JsonLineProcess _process;

    private BaselineEngine(JsonLineProcess process, JsonElement info)
    {
        _process = process;
        Info = info;
    }

    /// <summary>The settings it really has, as it tells them.</summary>
    internal JsonElement Info { get; }

    /// <exception cref="CliException">It could not be started, or does not have the settings that were asked for.</exception>
    internal static async Task<BaselineEngine> StartAsync(
        string executable,
        string modelPath,
        BenchSettings settings,
        int contextSize,
        CancellationToken cancellationToken
    )
    {
        ProcessStartInfo start = new(executable);
        foreach ((string name, object value) in Arguments(modelPath, settings, contextSize))
        {
            start.ArgumentList.Add(name);
            start.ArgumentList.Add(Convert.ToString(value, CultureInfo.InvariantCulture)!);
        }
        JsonLineProcess process = JsonLineProcess.Start("The baseline", start);
        try
        {
            JsonElement info = await process.ReadFirstAsync(cancellationToken);
            RequireSettings(info, settings, contextSize);
            return new BaselineEngine(process, info);
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    public EngineRun Run(int[] prompt, BenchCase what, int decodeTokens, CancellationToken cancellationToken)
    {
        StringBuilder command = new("prefill-tokens");
        foreach (int token in prompt)
        {
            command.Append(CultureInfo.InvariantCulture, $" {token}");
        }
        JsonElement prefill = _process.Ask(command.ToString(), cancellationToken);
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
        JsonElement decode = _process.Ask(
            string.Create(CultureInfo.InvariantCulture, $"decode {decodeTokens}"),
            cancellationToken
        );
        return run with
        {
            DecodedTokens = [.. decode.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32())],
            DecodeMs = [.. decode.GetProperty("us").EnumerateArray().Select(t => t.GetInt64() / 1000.0)],
        };
    }

    public ProcessUsage Usage() => _process.Usage();

    public void Dispose() => _process.Dispose();

    private static IEnumerable<(string Name, object Value)> Arguments(
        string modelPath,
        BenchSettings settings,
        int contextSize
    ) =>
        [
            ("--model", modelPath),
            ("--ctx", contextSize),
            ("--batch", settings.BatchSize),
            ("--ubatch", settings.UbatchSize),
            ("--threads", settings.Threads),
            ("--threads-batch", settings.Threads),
            ("--gpu-layers", settings.GpuLayers),
            ("--type-k", settings.KvCacheType),
            ("--type-v", settings.KvCacheType),
            ("--flash-attn", settings.FlashAttention),
            .. Named("--rpc", settings.BaselineRpcServers),
            .. Named("--device", settings.AskedDevices),
        ];

    private static IEnumerable<(string Name, object Value)> Named(string name, IReadOnlyList<string> values) =>
        values.Count > 0 ? [(name, string.Join(',', values))] : [];

    /// <exception cref="CliException">It runs with other settings.</exception>
    internal static void RequireSettings(JsonElement info, BenchSettings settings, int contextSize)
    {
        (string Name, string Expected)[] expected =
        [
            ("n_ctx", Text(contextSize)),
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
            string actual = info.TryGetProperty(name, out JsonElement element) ? element.ToString() : "nothing";
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
}
