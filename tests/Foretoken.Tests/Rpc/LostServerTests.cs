using System.Net;
using System.Net.Sockets;
using Foretoken.Errors;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Rpc;

/// <summary>What is asked for and not there, and what goes away while it is in use.</summary>
[Collection(nameof(TwoServersTests))]
public sealed class LostServerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public LostServerTests()
    {
        _model = _folder["tiny.gguf"];
        SyntheticModel.Write(
            _model,
            SyntheticModelSpec.Parse("layers=8,embd=192,heads=4,kv-heads=2,ffn=384,vocab=320,tied=false,type=f32")
        );
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Layers_for_a_GPU_that_is_not_there_are_refused_and_not_computed_on_the_CPU()
    {
        bool hasGpu = ForetokenModel.GetDevices().Any(device => device.Type is "gpu" or "igpu");
        foreach (int layers in (int[])[-1, 4])
        {
            DeviceUnavailableException e = Assert.Throws<DeviceUnavailableException>(() =>
                ForetokenModel.Load(_model, new ModelOptions { GpuLayers = layers, Devices = hasGpu ? ["CPU"] : null })
            );
            Assert.Contains($"'GpuLayers' is {layers}", e.Message, StringComparison.Ordinal);
            Assert.Contains("CPU", e.Message, StringComparison.Ordinal);
            Assert.Contains("--cuda", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_device_that_is_not_there_is_answered_with_those_that_are()
    {
        DeviceUnavailableException e = Assert.Throws<DeviceUnavailableException>(() =>
            ForetokenModel.Load(_model, new ModelOptions { Devices = ["CUDA7"] })
        );
        Assert.Contains("'CUDA7'", e.Message, StringComparison.Ordinal);
        Assert.Contains("CPU", e.Message, StringComparison.Ordinal);
    }

    [RpcFact]
    public void A_server_that_does_not_answer_is_named()
    {
        string endpoint = $"127.0.0.1:{RpcServer.FreePort()}";
        DeviceUnavailableException e = Assert.Throws<DeviceUnavailableException>(() =>
            ForetokenModel.Load(_model, new ModelOptions { RpcServers = [endpoint] })
        );
        Assert.Contains($"'{endpoint}'", e.Message, StringComparison.Ordinal);
        Assert.Contains("ggml-rpc-server -H", e.Message, StringComparison.Ordinal);
    }

    [RpcFact]
    public async Task A_server_that_serves_another_process_is_not_waited_for()
    {
        using RpcServer server = new();
        using TcpClient other = new();
        await other.ConnectAsync(IPAddress.Loopback, server.Port);

        DeviceUnavailableException e = await Assert.ThrowsAsync<DeviceUnavailableException>(() =>
            ForetokenModel.LoadAsync(_model, new ModelOptions { RpcServers = [server.Endpoint] })
        );
        Assert.Contains("serves one client at a time", e.Message, StringComparison.Ordinal);

        other.Close();
        using ForetokenModel model = await ForetokenModel.LoadAsync(
            _model,
            new ModelOptions { RpcServers = [server.Endpoint] }
        );
        Assert.Equal(8, model.Info.LayerCount);
    }

    [Theory]
    [InlineData("somewhere")]
    [InlineData("somewhere:http")]
    [InlineData(":50052")]
    [InlineData("somewhere:70000")]
    public void A_server_is_a_host_and_a_port(string server)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() =>
            ForetokenModel.Load(_model, new ModelOptions { RpcServers = [server] })
        );
        Assert.Contains("host:port", e.Message, StringComparison.Ordinal);
    }

    [RpcFact]
    public void A_server_that_goes_away_is_an_exception_and_everything_can_be_disposed_and_loaded_again()
    {
        using RpcServer server = new();
        ModelOptions options = new() { RpcServers = [server.Endpoint] };
        int[] prompt = [.. Enumerable.Range(0, 400).Select(i => i * 7 % 256)];
        float[] before;
        using (ForetokenModel model = ForetokenModel.Load(_model, options))
        using (ForetokenSession session = Create(model))
        {
            session.Prefill(prompt);
            before = session.GetLogits();

            server.Kill();

            Assert.Throws<DeviceLostException>(() => session.Decode(1));
            Assert.Throws<DeviceLostException>(session.Clear);
            DeviceLostException e = Assert.Throws<DeviceLostException>(() =>
                session.Prefill(prompt, new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(3, 0.5)]) })
            );
            Assert.Contains(server.Endpoint, e.Message, StringComparison.Ordinal);
            Assert.Throws<DeviceLostException>(() => Create(model));
        }
        Assert.Throws<DeviceUnavailableException>(() => ForetokenModel.Load(_model, options));

        using RpcServer again = new(server.Port);
        using (ForetokenModel model = ForetokenModel.Load(_model, options))
        using (ForetokenSession session = Create(model))
        {
            session.Prefill(prompt);
            Assert.Equal(before, session.GetLogits());
        }
    }

    [RpcFact]
    public void A_server_that_goes_away_between_two_stages_is_an_exception()
    {
        using RpcServer server = new();
        using ForetokenModel model = ForetokenModel.Load(_model, new ModelOptions { RpcServers = [server.Endpoint] });
        using ForetokenSession session = Create(model);
        int[] prompt = [.. Enumerable.Range(0, 400).Select(i => i * 7 % 256)];

        Assert.Throws<DeviceLostException>(() =>
            session.Prefill(
                prompt,
                new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(3, 0.5)]) },
                new Callback(progress =>
                {
                    if (progress.Stage == 0 && progress.TokensDone == prompt.Length)
                    {
                        server.Kill();
                    }
                })
            )
        );
        Assert.Equal(0, session.TokenCount);
    }

    [RpcFact]
    public async Task A_chat_client_fails_while_its_server_is_away_and_answers_when_it_is_back()
    {
        using RpcServer server = new();
        using ForetokenChatClient client = new(
            new ForetokenChatClientOptions
            {
                ModelPath = _model,
                RpcServers = [server.Endpoint],
                ContextSize = 1024,
                MaxOutputTokens = 8,
                Slots = 2,
                Threads = 1,
            }
        );
        ChatMessage question = new(ChatRole.User, "Who keeps the lighthouse?");
        string before = (await client.GetResponseAsync([question])).Text;

        server.Kill();

        // more requests than slots: those that wait for one fail as well
        await Task.WhenAll(
            Enumerable
                .Range(0, 4)
                .Select(async i =>
                    Assert.True(
                        await Record.ExceptionAsync(() =>
                            client.GetResponseAsync([new(ChatRole.User, $"Question {i}")])
                        )
                            is DeviceLostException
                                or DeviceUnavailableException
                    )
                )
        );
        await Assert.ThrowsAsync<DeviceUnavailableException>(() => client.GetResponseAsync([question]));

        using RpcServer again = new(server.Port);
        Assert.Equal(before, (await client.GetResponseAsync([question])).Text);
    }

    private static ForetokenSession Create(ForetokenModel model) =>
        model.CreateSession(
            new SessionOptions
            {
                ContextSize = 1024,
                UBatchSize = 128,
                Threads = 1,
            }
        );

    private sealed class Callback(Action<PrefillProgress> action) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => action(value);
    }
}
