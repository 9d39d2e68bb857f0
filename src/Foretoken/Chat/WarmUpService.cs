using Foretoken.Diagnostics;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Chat;

/// <summary>Loads the model of a registered client when the host starts, in the background.</summary>
internal sealed class WarmUpService(IServiceProvider provider, object? serviceKey) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        ILogger logger = provider.GetService<ILoggerFactory>()?.CreateLogger("Foretoken") ?? NullLogger.Instance;
        try
        {
            ForetokenChatClient client = serviceKey is null
                ? provider.GetRequiredService<ForetokenChatClient>()
                : provider.GetRequiredKeyedService<ForetokenChatClient>(serviceKey);
            await client.LoadAsync(cancellationToken: stoppingToken).ConfigureAwait(false);
            ChatResponse response = await client
                .GetResponseAsync("Hello", new ChatOptions { MaxOutputTokens = 2 }, stoppingToken)
                .ConfigureAwait(false);
            logger.WarmedUp(response.GetPrefillReport()!.TimeToFirstToken.TotalMilliseconds);
            await client.CalibrateIfNewAsync(stoppingToken).ConfigureAwait(false);
        }
        catch (Exception e)
            when (stoppingToken.IsCancellationRequested && e is OperationCanceledException or ObjectDisposedException)
        {
            // the host stops before the model is loaded
        }
#pragma warning disable CA1031 // an exception here would stop the host; requests report it to whoever sends them
        catch (Exception e)
#pragma warning restore CA1031
        {
            logger.WarmUpFailed(e);
        }
    }
}
