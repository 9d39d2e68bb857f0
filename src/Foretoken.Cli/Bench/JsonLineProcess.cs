using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;

namespace Foretoken.Cli.Bench;

/// <summary>
/// A child process that answers every line on its standard input with one line of JSON, the first one unasked; an answer with
/// the property <c>error</c> is a failure. One thread at a time.
/// </summary>
internal sealed class JsonLineProcess : IDisposable
{
    // Ctrl+C reaches the child as well, and perhaps ends it before this process has noticed
    private static readonly TimeSpan CancellationDelay = TimeSpan.FromSeconds(1);

    private readonly string _name;
    private readonly Process _process;
    private readonly StringBuilder _stderr = new();

    private JsonLineProcess(string name, Process process)
    {
        _name = name;
        _process = process;
    }

    /// <summary>Starts it. Standard streams are redirected here.</summary>
    /// <param name="name">What it is called in messages.</param>
    /// <param name="start">What to start.</param>
    /// <exception cref="CliException">It could not be started.</exception>
    internal static JsonLineProcess Start(string name, ProcessStartInfo start)
    {
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        start.UseShellExecute = false;
        start.CreateNoWindow = true;
        Process process;
        try
        {
            process =
                Process.Start(start) ?? throw new CliException($"{name} could not be started: '{start.FileName}'.");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new CliException($"{name} could not be started: '{start.FileName}': {e.Message}", e);
        }
        JsonLineProcess child = new(name, process);
        process.ErrorDataReceived += (_, e) => child._stderr.AppendLine(e.Data);
        process.BeginErrorReadLine();
        return child;
    }

    /// <summary>What the process has used so far.</summary>
    internal ProcessUsage Usage()
    {
        _process.Refresh();
        return new ProcessUsage(
            _process.TotalProcessorTime,
            _process.PeakWorkingSet64 is > 0 and var peak ? peak : null
        );
    }

    /// <summary>Sends a line and waits for its answer. A cancelled benchmark does not wait: the process is ended.</summary>
    /// <exception cref="CliException">It failed, or ended.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    internal JsonElement Ask(string command, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        using CancellationTokenRegistration registration = cancellationToken.Register(Kill);
        try
        {
            _process.StandardInput.WriteLine(command);
            _process.StandardInput.Flush();
            return Read(command.Split(' ')[0]);
        }
        catch (Exception e)
            when (e is IOException or CliException && cancellationToken.WaitHandle.WaitOne(CancellationDelay))
        {
            throw new OperationCanceledException(e.Message, e, cancellationToken);
        }
        catch (IOException e)
        {
            throw new CliException($"{_name} ended: {e.Message} {_stderr}".TrimEnd(), e);
        }
    }

    /// <summary>The answer that comes first, when the process is ready.</summary>
    /// <exception cref="CliException">It failed, or ended.</exception>
    internal async Task<JsonElement> ReadFirstAsync(CancellationToken cancellationToken) =>
        await Task.Run(() => Read("the start"), cancellationToken).WaitAsync(cancellationToken);

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

    private JsonElement Read(string what)
    {
        string line =
            _process.StandardOutput.ReadLine()
            ?? throw new CliException($"{_name} ended while it did {what}. {_stderr}".TrimEnd());
        using JsonDocument json = JsonDocument.Parse(line);
        return json.RootElement.TryGetProperty("error", out JsonElement error)
            ? throw new CliException($"{_name} failed at {what}: {error.GetString()}")
            : json.RootElement.Clone();
    }

    private void Kill()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // it has ended by itself
        }
    }
}
