using System.Globalization;
using Foretoken.Cli.Console;
using Foretoken.Sessions;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>The rivals of one benchmark, started and ended together.</summary>
internal sealed class RivalSet : IDisposable
{
    private readonly List<IRival> _all = [];

    internal IReadOnlyList<IRival> All => _all;

    /// <exception cref="CliException">One of them cannot take part; the message says why.</exception>
    internal static async Task<RivalSet> StartAsync(
        BenchOptions options,
        string modelPath,
        ContextInfo context,
        Action<string> note,
        CancellationToken cancellationToken
    )
    {
        RivalSet set = new();
        try
        {
            foreach (string text in options.Rivals)
            {
                RivalOption rival = RivalOption.Parse(text);
                set._all.Add(
                    rival.Endpoint is { } endpoint
                        ? await OpenAIRival.ConnectAsync(endpoint, rival.Model, server: null, cancellationToken)
                        : await StartProgramAsync(
                            rival.Program!,
                            TokenRivalSettings.Of(modelPath, context, options.KvCacheType),
                            cancellationToken
                        )
                );
            }
            if (options.RivalCommand is { } command)
            {
                note($"Starting the rival: {command}");
                RivalServer server = await RivalServer.StartAsync(
                    command,
                    new Dictionary<string, string>
                    {
                        ["model"] = Path.GetFullPath(modelPath),
                        ["context"] = context.ContextSize.ToString(CultureInfo.InvariantCulture),
                        ["threads"] = context.BatchThreads.ToString(CultureInfo.InvariantCulture),
                    },
                    cancellationToken
                );
                try
                {
                    set._all.Add(await OpenAIRival.ConnectAsync(server.Endpoint, null, server, cancellationToken));
                }
                catch
                {
                    server.Dispose();
                    throw;
                }
            }
            return set;
        }
        catch
        {
            set.Dispose();
            throw;
        }
    }

    private static Task<TokenRival> StartProgramAsync(
        string program,
        TokenRivalSettings settings,
        CancellationToken cancellationToken
    ) =>
        program == RivalOption.LLamaSharp
            ? LLamaSharpRival.StartAsync(settings, cancellationToken)
            : NodeRival.StartAsync(settings, cancellationToken);

    public void Dispose()
    {
        foreach (IRival rival in _all)
        {
            rival.Dispose();
        }
    }
}
