using Foretoken;
using Foretoken.Chat;
using Foretoken.Planning;
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
    /// Registers a <see cref="ForetokenChatClient"/> as a singleton, as itself and, at the end of the pipeline that is returned, as
    /// <see cref="IChatClient"/>. It is created when it is first asked for, logs to the registered <see cref="ILoggerFactory"/>
    /// unless another one is configured, and is disposed with the provider.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <returns>The pipeline of the <see cref="IChatClient"/>, for <c>UseFunctionInvocation()</c> and the like.</returns>
    public static ChatClientBuilder AddForetokenChatClient(
        this IServiceCollection services,
        Action<ForetokenChatClientOptions> configure
    )
    {
        ArgumentNullException.ThrowIfNull(configure);
        services.AddForetoken().Configure(configure);
        return services.AddChatClient(provider => provider.GetRequiredService<ForetokenChatClient>());
    }

    /// <summary>As <see cref="AddForetokenChatClient(IServiceCollection, Action{ForetokenChatClientOptions})"/>, with options from configuration.</summary>
    /// <param name="services">The services.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>, its Model, Session and Speed as sections of their own; the model path at least.</param>
    /// <returns>The pipeline of the <see cref="IChatClient"/>.</returns>
    public static ChatClientBuilder AddForetokenChatClient(
        this IServiceCollection services,
        IConfiguration configuration
    )
    {
        ArgumentNullException.ThrowIfNull(configuration);
        services.AddForetoken().BindForetoken(configuration);
        return services.AddChatClient(provider => provider.GetRequiredService<ForetokenChatClient>());
    }

    /// <summary>
    /// As <see cref="AddForetokenChatClient(IServiceCollection, Action{ForetokenChatClientOptions})"/>, as keyed singletons.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <returns>The pipeline of the <see cref="IChatClient"/> with this key.</returns>
    public static ChatClientBuilder AddKeyedForetokenChatClient(
        this IServiceCollection services,
        object serviceKey,
        Action<ForetokenChatClientOptions> configure
    )
    {
        ArgumentNullException.ThrowIfNull(serviceKey);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddForetoken(serviceKey).Configure(configure);
        return services.AddKeyedChatClient(
            serviceKey,
            provider => provider.GetRequiredKeyedService<ForetokenChatClient>(serviceKey)
        );
    }

    /// <summary>As <see cref="AddKeyedForetokenChatClient(IServiceCollection, object, Action{ForetokenChatClientOptions})"/>, with options from configuration.</summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>, its Model, Session and Speed as sections of their own; the model path at least.</param>
    /// <returns>The pipeline of the <see cref="IChatClient"/> with this key.</returns>
    public static ChatClientBuilder AddKeyedForetokenChatClient(
        this IServiceCollection services,
        object serviceKey,
        IConfiguration configuration
    )
    {
        ArgumentNullException.ThrowIfNull(serviceKey);
        ArgumentNullException.ThrowIfNull(configuration);
        services.AddForetoken(serviceKey).BindForetoken(configuration);
        return services.AddKeyedChatClient(
            serviceKey,
            provider => provider.GetRequiredKeyedService<ForetokenChatClient>(serviceKey)
        );
    }

    /// <summary>
    /// Registers a <see cref="ForetokenChatClient"/> as a singleton, as itself alone: for frameworks that build another service on
    /// it. Called again with the same key, it adds to the same options.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key. Default null: none.</param>
    /// <returns>The options of the client, to be configured; the model path at least.</returns>
    public static OptionsBuilder<ForetokenChatClientOptions> AddForetoken(
        this IServiceCollection services,
        object? serviceKey = null
    )
    {
        ArgumentNullException.ThrowIfNull(services);
        string name = serviceKey?.ToString() ?? Options.Options.DefaultName;
        if (serviceKey is null)
        {
            services.TryAddSingleton(provider => Create(provider, name));
        }
        else
        {
            services.TryAddKeyedSingleton(serviceKey, (provider, _) => Create(provider, name));
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

    private static ForetokenChatClient Create(IServiceProvider provider, string name) =>
        new(provider.GetRequiredService<IOptionsMonitor<ForetokenChatClientOptions>>().Get(name));
}
