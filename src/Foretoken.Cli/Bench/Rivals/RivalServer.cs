using System.CommandLine.Parsing;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Foretoken.Cli.Console;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>A server that the benchmark starts, and ends with itself.</summary>
internal sealed class RivalServer : IDisposable
{
    internal const string PortPlaceholder = "{port}";

    private const int LinesKept = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan BetweenTries = TimeSpan.FromMilliseconds(200);

    private readonly Process _process;
    private readonly Queue<string> _lines = new();

    private RivalServer(Process process, Uri endpoint)
    {
        _process = process;
        Endpoint = endpoint;
    }

    /// <summary>Where it listens, up to and with <c>/v1</c>.</summary>
    internal Uri Endpoint { get; }

    /// <summary>Starts it and waits until it lists its models.</summary>
    /// <param name="commandLine">Program and arguments; <c>{port}</c>, <c>{model}</c>, <c>{context}</c> and <c>{threads}</c> are filled in.</param>
    /// <param name="values">Values of the placeholders other than the port.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="CliException">It could not be started, ended, or does not answer.</exception>
    internal static async Task<RivalServer> StartAsync(
        string commandLine,
        IReadOnlyDictionary<string, string> values,
        CancellationToken cancellationToken
    )
    {
        if (!commandLine.Contains(PortPlaceholder, StringComparison.Ordinal))
        {
            throw new CliException(
                $"--rival-command must say where the port goes, as in \"llama-server -m {{model}} --port {PortPlaceholder}\"; '{commandLine}' does not."
            );
        }
        int port = FreePort();
        string[] words =
        [
            .. CommandLineParser
                .SplitCommandLine(commandLine)
                .Select(word =>
                    values.Aggregate(
                        word.Replace(
                            PortPlaceholder,
                            port.ToString(CultureInfo.InvariantCulture),
                            StringComparison.Ordinal
                        ),
                        (filled, value) => filled.Replace($"{{{value.Key}}}", value.Value, StringComparison.Ordinal)
                    )
                ),
        ];
        ProcessStartInfo start = new(words[0], words[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        Process process;
        try
        {
            process = Process.Start(start) ?? throw new CliException($"'{words[0]}' could not be started.");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new CliException($"'{words[0]}' could not be started: {e.Message}", e);
        }
        RivalServer server = new(process, new Uri(FormattableString.Invariant($"http://127.0.0.1:{port}/v1")));
        process.OutputDataReceived += (_, e) => server.Keep(e.Data);
        process.ErrorDataReceived += (_, e) => server.Keep(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            await server.WaitUntilReadyAsync(cancellationToken);
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit(TimeSpan.FromSeconds(5));
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // it has ended by itself
        }
        _process.Dispose();
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using HttpClient http = new();
        Uri models = new(Endpoint + "/models");
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < Patience)
        {
            if (_process.HasExited)
            {
                throw new CliException(
                    FormattableString.Invariant(
                        $"The rival's server ended with status {_process.ExitCode} before it answered. Its last lines:\n{Tail()}"
                    )
                );
            }
            try
            {
                using HttpResponseMessage answer = await http.GetAsync(models, cancellationToken);
                if (answer.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // it does not listen yet
            }
            await Task.Delay(BetweenTries, cancellationToken);
        }
        throw new CliException($"The rival's server does not list models at {models}. Its last lines:\n{Tail()}");
    }

    private void Keep(string? line)
    {
        lock (_lines)
        {
            _lines.Enqueue(line ?? "");
            if (_lines.Count > LinesKept)
            {
                _lines.Dequeue();
            }
        }
    }

    private string Tail()
    {
        lock (_lines)
        {
            return string.Join('\n', _lines).Trim();
        }
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
