using Foretoken;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers Foretoken.</summary>
public static class ForetokenServiceCollectionExtensions
{
    /// <summary>
    /// Registers a <see cref="ForetokenChatClient"/> as a singleton, as itself and as <see cref="IChatClient"/>. It is created
    /// when it is first asked for, logs to the registered <see cref="ILoggerFactory"/> unless another one is configured,
    /// and is disposed with the provider.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatClient(
        this IServiceCollection services,
        Action<ForetokenChatClientOptions> configure
    )
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.TryAddSingleton(provider => Create(provider, configure));
        services.TryAddSingleton<IChatClient>(provider => provider.GetRequiredService<ForetokenChatClient>());
        return services;
    }

    /// <summary>Registers a <see cref="ForetokenChatClient"/> as a keyed singleton, as itself and as <see cref="IChatClient"/>.</summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddKeyedForetokenChatClient(
        this IServiceCollection services,
        object serviceKey,
        Action<ForetokenChatClientOptions> configure
    )
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(serviceKey);
        ArgumentNullException.ThrowIfNull(configure);
        services.TryAddKeyedSingleton(serviceKey, (provider, _) => Create(provider, configure));
        services.TryAddKeyedSingleton<IChatClient>(
            serviceKey,
            (provider, key) => provider.GetRequiredKeyedService<ForetokenChatClient>(key)
        );
        return services;
    }

    private static ForetokenChatClient Create(IServiceProvider provider, Action<ForetokenChatClientOptions> configure)
    {
        ForetokenChatClientOptions options = new() { LoggerFactory = provider.GetService<ILoggerFactory>() };
        configure(options);
        return new ForetokenChatClient(options);
    }
}
