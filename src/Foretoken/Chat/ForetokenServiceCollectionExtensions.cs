using Foretoken;
using Foretoken.Chat;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers Foretoken.</summary>
/// <remarks>
/// Options are <see cref="IOptionsMonitor{TOptions}"/> options: under the default name, or of a keyed client under the text of
/// its key. A host validates them when it starts, the model file's header included, and then fails with an
/// <see cref="OptionsValidationException"/>; without a host the first use of the client does.
/// </remarks>
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
        ArgumentNullException.ThrowIfNull(configure);
        AddClient(services, null).Configure(configure);
        return services;
    }

    /// <summary>As <see cref="AddForetokenChatClient(IServiceCollection, Action{ForetokenChatClientOptions})"/>, with options from configuration.</summary>
    /// <param name="services">The services.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>; the model path at least.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatClient(
        this IServiceCollection services,
        IConfiguration configuration
    )
    {
        ArgumentNullException.ThrowIfNull(configuration);
        AddClient(services, null).Bind(configuration);
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
        ArgumentNullException.ThrowIfNull(serviceKey);
        ArgumentNullException.ThrowIfNull(configure);
        AddClient(services, serviceKey).Configure(configure);
        return services;
    }

    /// <summary>As <see cref="AddKeyedForetokenChatClient(IServiceCollection, object, Action{ForetokenChatClientOptions})"/>, with options from configuration.</summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>; the model path at least.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddKeyedForetokenChatClient(
        this IServiceCollection services,
        object serviceKey,
        IConfiguration configuration
    )
    {
        ArgumentNullException.ThrowIfNull(serviceKey);
        ArgumentNullException.ThrowIfNull(configuration);
        AddClient(services, serviceKey).Bind(configuration);
        return services;
    }

    /// <summary>
    /// Loads the model of a registered client in the background when the host starts, and answers one short request, so that
    /// the first real one finds the weights in memory. Where nothing was measured on this machine yet, prefills are then timed for
    /// at most 15 seconds, until a request comes (<see cref="ForetokenChatClientOptions.Calibration"/>). A failure is logged and does not stop the host: requests then get the
    /// same exception.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key of the client; null for the one that was registered without a key.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenWarmUp(this IServiceCollection services, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        return services.AddSingleton<IHostedService>(provider => new WarmUpService(provider, serviceKey));
    }

    private static OptionsBuilder<ForetokenChatClientOptions> AddClient(IServiceCollection services, object? serviceKey)
    {
        ArgumentNullException.ThrowIfNull(services);
        string name = serviceKey?.ToString() ?? Options.Options.DefaultName;
        if (serviceKey is null)
        {
            services.TryAddSingleton(provider => Create(provider, name));
            services.TryAddSingleton<IChatClient>(provider => provider.GetRequiredService<ForetokenChatClient>());
        }
        else
        {
            services.TryAddKeyedSingleton(serviceKey, (provider, _) => Create(provider, name));
            services.TryAddKeyedSingleton<IChatClient>(
                serviceKey,
                (provider, key) => provider.GetRequiredKeyedService<ForetokenChatClient>(key)
            );
        }
        services.TryAddEnumerable(
            ServiceDescriptor.Singleton<IValidateOptions<ForetokenChatClientOptions>, ChatClientOptionsValidator>()
        );
        return services
            .AddOptions<ForetokenChatClientOptions>(name)
            .PostConfigure<IServiceProvider>(
                (options, provider) => options.LoggerFactory ??= provider.GetService<ILoggerFactory>()
            )
            .ValidateOnStart();
    }

    private static ForetokenChatClient Create(IServiceProvider provider, string name) =>
        new(provider.GetRequiredService<IOptionsMonitor<ForetokenChatClientOptions>>().Get(name));
}
