using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Chat;
using Foretoken.Tests.Sessions;

namespace Foretoken.Tests.Rpc;

/// <summary>
/// The real model over two RPC servers on this machine: half of its layers on each. What unpatched llama.cpp gives over the
/// same servers is computed first, because a server serves one process at a time.
/// </summary>
public sealed class TwoServers : IDisposable
{
    internal const int PromptTokens = 320;
    internal const int AnswerTokens = 6;

    private readonly RpcServer[] _servers = [];
    private readonly TestModel? _cpu;
    private readonly ForetokenModel? _model;

    public TwoServers()
    {
        if (RpcServer.Executable is null)
        {
            return;
        }
        _servers = [new(), new()];
        _cpu = new TestModel();
        Prompt = _cpu.Prompt(PromptTokens);
        using (Baseline stock = new(_cpu.Path, 1024, "--ubatch", "128", "--rpc", string.Join(',', Endpoints)))
        {
            StockTokens = stock.Greedy(Prompt, AnswerTokens);
            StockLogits = stock.Logits(Prompt);
        }
        _model = ForetokenModel.Load(_cpu.Path, new ModelOptions { RpcServers = Endpoints, UseMeasuredCosts = false });
    }

    internal string[] Endpoints => [.. _servers.Select(server => server.Endpoint)];

    internal int[] Prompt { get; } = [];

    /// <summary>What unpatched llama.cpp says behind the prompt over the same servers.</summary>
    internal int[] StockTokens { get; } = [];

    /// <summary>Its logits of the prompt's last token.</summary>
    internal float[] StockLogits { get; } = [];

    /// <summary>The same model, on this machine's CPU.</summary>
    internal TestModel Cpu => _cpu!;

    internal ForetokenSession CreateSession() => Create(_model!);

    internal ForetokenSession CreateLocalSession() => Create(Cpu.Model);

    public void Dispose()
    {
        _model?.Dispose();
        _cpu?.Dispose();
        Array.ForEach(_servers, server => server.Dispose());
    }

    private static ForetokenSession Create(ForetokenModel model) =>
        model.CreateSession(
            new SessionOptions
            {
                ContextSize = 1024,
                UBatchSize = 128,
                Threads = TestModel.Threads,
            }
        );
}

[Collection(nameof(TwoServersTests))]
public sealed class TwoServersTests(TwoServers test) : IClassFixture<TwoServers>
{
    private static readonly PrefillPlan Thin = PrefillPlan.FromBoundaries([new(8, 0.5), new(17, 0.25)]);

    [RpcFact]
    public void Half_of_the_layers_are_on_each_server()
    {
        using ForetokenSession session = test.CreateSession();

        Assert.Equal(3, session.Info.Devices.Count);
        Assert.Equal(2, session.Info.Devices.Count(name => name.StartsWith("RPC", StringComparison.Ordinal)));
        Assert.Null(session.NotStagedReason);
    }

    [RpcFact]
    public void Plain_prefill_gives_the_logits_of_unpatched_llama_cpp_over_the_same_servers()
    {
        using ForetokenSession session = test.CreateSession();
        session.Prefill(test.Prompt);

        Assert.Equal(test.StockLogits, session.GetLogits());
        Assert.Equal(test.StockTokens, test.Cpu.Greedy(session, TwoServers.AnswerTokens));
    }

    [RpcFact]
    public void Keep_all_in_three_stages_gives_the_logits_of_unpatched_llama_cpp_over_the_same_servers()
    {
        using ForetokenSession session = test.CreateSession();
        // one boundary on the first server, one on the second
        PrefillReport report = session.Prefill(
            test.Prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(8, 1), new(20, 1)]) }
        );

        Assert.Equal(3, report.Stages.Count);
        Assert.Equal(test.StockLogits, session.GetLogits());
        Assert.Equal(test.StockTokens, test.Cpu.Greedy(session, TwoServers.AnswerTokens));
    }

    [RpcFact]
    public void Probes_cross_the_network_and_choose_the_tokens_that_they_choose_here()
    {
        RecordingPolicy here = new(ImportancePolicies.Default);
        RecordingPolicy there = new(ImportancePolicies.Default);
        using ForetokenSession local = test.CreateLocalSession();
        using ForetokenSession remote = test.CreateSession();
        local.Prefill(test.Prompt, new PrefillRequest { Plan = Thin, Importance = here });
        PrefillReport report = remote.Prefill(test.Prompt, new PrefillRequest { Plan = Thin, Importance = there });

        Assert.Equal([320, 160, 80], report.Stages.Select(stage => stage.Tokens));
        Assert.NotEmpty(there.Scores);
        Assert.Equal(here.Scores.Count, there.Scores.Count);
        // of the first boundary, at which both have the same tokens: other kernels compute here, so not bit for bit
        int probes = ImportancePolicies.Default.GetProbes(0, 8).Count;
        for (int i = 0; i < probes; i++)
        {
            Assert.Equal(here.Scores[i].Length, there.Scores[i].Length);
            Assert.InRange(RelativeDifference(here.Scores[i], there.Scores[i]), 0, 0.02);
        }
        foreach (int layer in (int[])[8, 17])
        {
            int[] kept = remote.GetPositions(layer);
            int common = kept.Intersect(local.GetPositions(layer)).Count();
            Assert.InRange(common, (int)(0.97 * kept.Length), kept.Length);
        }
        Assert.Equal(test.Prompt.Length, remote.GetPositions(7).Length);
        Assert.Equal(ArgMax(local.GetLogits()), ArgMax(remote.GetLogits()));
    }

    [RpcFact]
    public void Sessions_that_take_turns_on_a_server_do_not_run_each_others_graphs()
    {
        using ForetokenSession first = test.CreateSession();
        using ForetokenSession second = test.CreateSession();
        int[] other = test.Cpu.Prompt(200, seed: 7);
        first.Prefill(test.Prompt);
        second.Prefill(other);
        List<int> alone;
        using (ForetokenSession only = test.CreateSession())
        {
            only.Prefill(other);
            alone = test.Cpu.Greedy(only, TwoServers.AnswerTokens);
        }

        using Sampler sampler = test.Cpu.Model.CreateSampler();
        List<int> answer = [];
        List<int> otherAnswer = [];
        for (int i = 0; i < TwoServers.AnswerTokens; i++)
        {
            foreach (
                (ForetokenSession session, List<int> tokens) in ((ForetokenSession, List<int>)[])
                    [(first, answer), (second, otherAnswer)]
            )
            {
                tokens.Add(session.Sample(sampler));
                session.Decode(tokens[^1]);
            }
        }

        Assert.Equal(test.StockTokens, answer);
        Assert.Equal(alone, otherAnswer);
    }

    [RpcFact]
    public void A_session_goes_on_when_another_one_on_its_servers_ends()
    {
        using ForetokenSession session = test.CreateSession();
        session.Prefill(test.Prompt);
        using Sampler sampler = test.Cpu.Model.CreateSampler();
        List<int> answer = [];
        for (int i = 0; i < TwoServers.AnswerTokens; i++)
        {
            answer.Add(session.Sample(sampler));
            session.Decode(answer[^1]);
            // a server forgets the graphs that it would compute again when buffers are freed
            test.CreateSession().Dispose();
        }

        Assert.Equal(test.StockTokens, answer);
    }

    [RpcFact]
    public async Task Sessions_that_compute_at_the_same_time_do_not_mix_their_commands()
    {
        List<int>[] answers = await Task.WhenAll(
            Enumerable
                .Range(0, 2)
                .Select(_ =>
                    Task.Run(() =>
                    {
                        using ForetokenSession session = test.CreateSession();
                        session.Prefill(test.Prompt);
                        return test.Cpu.Greedy(session, TwoServers.AnswerTokens);
                    })
                )
        );

        Assert.All(answers, answer => Assert.Equal(test.StockTokens, answer));
    }

    private static double RelativeDifference(float[] expected, float[] actual)
    {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Abs(expected[i] - actual[i]);
            size += Math.Abs(expected[i]);
        }
        return difference / size;
    }

    private static int ArgMax(float[] logits) => Array.IndexOf(logits, logits.Max());
}

/// <summary>Alone: they load the model twice, and servers compute beside them.</summary>
[CollectionDefinition(nameof(TwoServersTests), DisableParallelization = true)]
public sealed class TwoServersTestsDefinition;
