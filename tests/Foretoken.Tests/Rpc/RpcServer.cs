using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Foretoken.Tests.Sessions;

namespace Foretoken.Tests.Rpc;

/// <summary>llama.cpp's RPC server, as the native build leaves it beside the library, on a loopback port.</summary>
internal sealed class RpcServer : IDisposable
{
    private readonly Process _process;

    /// <summary>Starts a server, and waits until it can be connected to.</summary>
    /// <param name="port">The port; 0 for a free one.</param>
    internal RpcServer(int port = 0)
    {
        Port = port > 0 ? port : FreePort();
        ProcessStartInfo start = new(Executable!)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList = { "-H", "127.0.0.1", "-p", Port.ToString(CultureInfo.InvariantCulture), "-t", "1" },
        };
        _process = Process.Start(start)!;
        // nobody reads what it says; it must not wait for that
        _process.OutputDataReceived += (_, _) => { };
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        WaitUntilItListens();
    }

    /// <summary>The program; null where the native library was built without it.</summary>
    internal static string? Executable { get; } = Find();

    internal int Port { get; }

    internal string Endpoint => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{Port}");

    /// <summary>Ends the server as a crash would.</summary>
    internal void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    /// <summary>A port on which nothing listens.</summary>
    internal static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    private void WaitUntilItListens()
    {
        while (true)
        {
            if (_process.HasExited)
            {
                throw new InvalidOperationException($"ggml-rpc-server ended with {_process.ExitCode} at port {Port}.");
            }
            try
            {
                // it serves this connection until it is closed, and then the next one
                using TcpClient client = new();
                client.Connect(IPAddress.Loopback, Port);
                return;
            }
            catch (SocketException)
            {
                Thread.Sleep(20);
            }
        }
    }

    private static string? Find()
    {
        string artifacts = Path.Combine(TestModel.Root, "artifacts", "native");
        string current = Path.Combine(artifacts, "current");
        if (!File.Exists(current))
        {
            return null;
        }
        string program = Path.Combine(artifacts, File.ReadAllText(current).Trim(), "bin", "ggml-rpc-server");
        return File.Exists(program) ? program : null;
    }
}

/// <summary>A test that needs RPC servers, and is skipped where the native library was built without them.</summary>
internal sealed class RpcFactAttribute : FactAttribute
{
    public RpcFactAttribute()
    {
        if (RpcServer.Executable is null)
        {
            Skip = "The native library was built with --no-rpc: there is no ggml-rpc-server.";
        }
    }
}
