using System.Net;
using System.Text;
using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Bench;

public sealed class RivalTests
{
    [Theory]
    [InlineData("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", null)]
    [InlineData("https://example.org/openai/v1,model=some-model", "https://example.org/openai/v1", "some-model")]
    public void An_address_may_name_its_model(string text, string endpoint, string? model) =>
        Assert.Equal(new RivalOption(new Uri(endpoint), model), RivalOption.Parse(text));

    [Theory]
    [InlineData("llamasharp")]
    [InlineData("node-llama-cpp")]
    public void A_program_is_named(string text) =>
        Assert.Equal(new RivalOption(null, null, text), RivalOption.Parse(text));

    [Theory]
    [InlineData("llama-server")]
    [InlineData("LLamaSharp")]
    [InlineData("ftp://127.0.0.1")]
    [InlineData("http://127.0.0.1,name=x")]
    [InlineData("http://127.0.0.1,model=")]
    public void What_is_no_rival_is_refused_with_an_example(string text) =>
        Assert.Contains(
            "http://127.0.0.1:8080,model=NAME",
            Assert.Throws<CliException>(() => RivalOption.Parse(text)).Message,
            StringComparison.Ordinal
        );

    [Fact]
    public async Task A_server_is_asked_for_a_stream_and_its_first_text_ends_the_time()
    {
        using FakeOpenAIServer server = new("", "Hel", "lo");
        using OpenAIRival rival = await OpenAIRival.ConnectAsync(server.Endpoint, null, null, default);

        RivalRun run = rival.Run(new RivalPrompt([1, 2], "some words"), decodeTokens: 1, default);

        Assert.Contains("fake-model", rival.Name, StringComparison.Ordinal);
        // the empty text at the beginning is none
        Assert.Single(run.DecodeMs);
        Assert.True(run.TtftMs > 0);
        Assert.Equal(42, run.PromptTokens);
        using JsonDocument request = JsonDocument.Parse(server.Requests.Single());
        Assert.True(request.RootElement.GetProperty("stream").GetBoolean());
        Assert.Equal("fake-model", request.RootElement.GetProperty("model").GetString());
    }

    [Fact]
    public async Task No_two_prompts_begin_alike()
    {
        using FakeOpenAIServer server = new("a");
        using OpenAIRival rival = await OpenAIRival.ConnectAsync(server.Endpoint, "m", null, default);

        for (int i = 0; i < 3; i++)
        {
            rival.Run(new RivalPrompt([1], "the same words"), 0, default);
        }

        string[] beginnings = [.. server.Requests.Select(Content).Select(content => content[..8])];
        Assert.Equal(3, beginnings.Distinct().Count());
        Assert.All(
            server.Requests,
            request => Assert.EndsWith("the same words", Content(request), StringComparison.Ordinal)
        );

        static string Content(string request)
        {
            using JsonDocument json = JsonDocument.Parse(request);
            JsonElement content = json.RootElement.GetProperty("messages")[0].GetProperty("content");
            return content.ValueKind == JsonValueKind.String
                ? content.GetString()!
                : content[0].GetProperty("text").GetString()!;
        }
    }

    [Fact]
    public async Task A_server_without_text_or_without_an_answer_is_an_error_that_names_it()
    {
        using FakeOpenAIServer server = new("");
        using OpenAIRival rival = await OpenAIRival.ConnectAsync(server.Endpoint, "m", null, default);
        Assert.Contains(
            "without text",
            Assert.Throws<CliException>(() => rival.Run(new RivalPrompt([1], "x"), 0, default)).Message,
            StringComparison.Ordinal
        );

        server.Dispose();

        CliException e = await Assert.ThrowsAsync<CliException>(() =>
            OpenAIRival.ConnectAsync(server.Endpoint, null, null, default)
        );
        Assert.Contains(server.Endpoint.ToString(), e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rival_runs_in_every_round_and_has_rows_of_its_own()
    {
        using FakeOpenAIServer server = new("a", "b");
        using OpenAIRival rival = await OpenAIRival.ConnectAsync(server.Endpoint, null, null, default);
        BenchRun run = BenchReports.Run(BenchReports.Cases, rounds: 2, decode: 1, rivals: 1);

        BenchMeasurements measured = BenchReports.Measure(
            new FakeEngine(),
            new FakeEngine { IsBaseline = true },
            run,
            [rival]
        );

        BenchReport report = BenchReports.Of(measured, BenchReports.Cases, 2, [rival]);
        Assert.Equal([64, 128], report.Rivals.Select(row => row.PromptTokens));
        Assert.All(
            report.Rivals,
            row =>
            {
                Assert.Equal(2, row.Samples.Count);
                Assert.Equal(42, row.RivalPromptTokens);
                Assert.Equal(10 / row.TtftMs, row.SpeedupOverBaseline!.Value, 9);
            }
        );
        // two lengths, two rounds, and the warm-up
        Assert.Equal(5, server.Requests.Count);
        TestConsole console = new TestConsole().Width(200);
        console.Profile.Width = 400;
        console.Write(BenchTable.Render(report));
        Assert.Contains("(fake-model)", console.Output, StringComparison.Ordinal);
        Assert.Contains("Rivals", BenchPage.Render(report), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_command_must_say_where_the_port_goes_and_must_stay()
    {
        Assert.Contains(
            "{port}",
            (await Assert.ThrowsAsync<CliException>(() => Start("some-server --serve"))).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "could not be started",
            (await Assert.ThrowsAsync<CliException>(() => Start("no-such-program-here {port}"))).Message,
            StringComparison.Ordinal
        );
        // dotnet is on every machine that runs this, knows no such command, and ends
        Assert.Contains(
            "ended with status",
            (await Assert.ThrowsAsync<CliException>(() => Start("dotnet no-such-command {port}"))).Message,
            StringComparison.Ordinal
        );

        static Task<RivalServer> Start(string command) =>
            RivalServer.StartAsync(command, new Dictionary<string, string>(), default);
    }

    /// <summary>An OpenAI server on loopback that streams the same texts to everybody.</summary>
    private sealed class FakeOpenAIServer : IDisposable
    {
        private readonly HttpListener _listener = new();
        private readonly string[] _texts;

        internal FakeOpenAIServer(params string[] texts)
        {
            _texts = texts;
            // a port that is free now
            using (System.Net.Sockets.TcpListener free = new(IPAddress.Loopback, 0))
            {
                free.Start();
                Endpoint = new Uri($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}/v1");
            }
            _listener.Prefixes.Add(Endpoint + "/");
            _listener.Start();
            _ = Task.Run(ServeAsync);
        }

        internal Uri Endpoint { get; }

        internal List<string> Requests { get; } = [];

        public void Dispose() => _listener.Close();

        private async Task ServeAsync()
        {
            while (_listener.IsListening)
            {
                HttpListenerContext call;
                try
                {
                    call = await _listener.GetContextAsync();
                }
                catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
                {
                    return;
                }
                await AnswerAsync(call);
            }
        }

        private async Task AnswerAsync(HttpListenerContext call)
        {
            if (call.Request.Url!.AbsolutePath.EndsWith("/models", StringComparison.Ordinal))
            {
                call.Response.ContentType = "application/json";
                await WriteAsync(
                    call,
                    """{"object":"list","data":[{"id":"fake-model","object":"model","created":0,"owned_by":"x"}]}"""
                );
            }
            else
            {
                using StreamReader reader = new(call.Request.InputStream);
                Requests.Add(await reader.ReadToEndAsync());
                call.Response.ContentType = "text/event-stream";
                foreach (string text in _texts)
                {
                    await WriteAsync(
                        call,
                        "data: "
                            + """{"id":"1","object":"chat.completion.chunk","created":0,"model":"fake-model","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}""".Replace(
                                "TEXT",
                                text,
                                StringComparison.Ordinal
                            )
                            + "\n\n"
                    );
                }
                await WriteAsync(
                    call,
                    "data: "
                        + """{"id":"1","object":"chat.completion.chunk","created":0,"model":"fake-model","choices":[],"usage":{"prompt_tokens":42,"completion_tokens":2,"total_tokens":44}}"""
                        + "\n\ndata: [DONE]\n\n"
                );
            }
            call.Response.Close();
        }

        private static async Task WriteAsync(HttpListenerContext call, string text)
        {
            await call.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes(text));
            await call.Response.OutputStream.FlushAsync();
        }
    }
}
