using Foretoken;
using Foretoken.Chat;
using Foretoken.SemanticKernel;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers Foretoken for kernels.</summary>
/// <remarks>
/// <para>
/// A service id has one <see cref="ForetokenChatClient"/>, and so one model in memory: as everywhere in dependency injection,
/// the last registration is used. To have both a chat completion service and a chat client, give the options once and call
/// the other method without options.
/// </para>
/// <para>
/// The options are registered by Foretoken's own <c>AddForetoken</c>, under the service id: a host validates them when it starts.
/// </para>
/// <para>
/// Clients made from options belong to the service provider. A kernel does not dispose its provider: who builds one with
/// <see cref="Kernel.CreateBuilder"/> and cares when the memory is freed disposes <c>kernel.Services as IDisposable</c>, or
/// registers a client of their own, which stays theirs to dispose.
/// </para>
/// </remarks>
public static class ForetokenKernelServiceCollectionExtensions
{
    /// <summary>Registers a model as an <see cref="IChatCompletionService"/> whose functions the kernel invokes.</summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatCompletion(
        this IServiceCollection services,
        Action<ForetokenChatClientOptions> configure,
        string? serviceId = null
    )
    {
        ArgumentNullException.ThrowIfNull(configure);
        services.AddForetoken(serviceId).Configure(configure);
        return services.AddForetokenChatCompletion(serviceId);
    }

    /// <summary>
    /// Registers a model as an <see cref="IChatCompletionService"/> whose functions the kernel invokes, with options from
    /// configuration.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>; the model path at least.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatCompletion(
        this IServiceCollection services,
        IConfiguration configuration,
        string? serviceId = null
    )
    {
        ArgumentNullException.ThrowIfNull(configuration);
        services.AddForetoken(serviceId).BindForetoken(configuration);
        return services.AddForetokenChatCompletion(serviceId);
    }

    /// <summary>Registers a chat client as an <see cref="IChatCompletionService"/> whose functions the kernel invokes.</summary>
    /// <param name="services">The services.</param>
    /// <param name="client">The client, such as a <see cref="ForetokenChatClient"/> or one around it; not disposed by the services.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatCompletion(
        this IServiceCollection services,
        IChatClient client,
        string? serviceId = null
    )
    {
        ArgumentNullException.ThrowIfNull(client);
        return services.AddCompletion(serviceId, _ => client);
    }

    /// <summary>
    /// Registers the <see cref="ForetokenChatClient"/> that the services hold, under the service id or else under none, as an
    /// <see cref="IChatCompletionService"/> whose functions the kernel invokes.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatCompletion(
        this IServiceCollection services,
        string? serviceId = null
    ) => services.AddCompletion(serviceId, provider => FindClient(provider, serviceId));

    /// <summary>Registers a model as an <see cref="IChatClient"/> whose functions the kernel invokes.</summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <param name="serviceId">
    /// The service id, or null for none. It has to be given: without it, <c>AddForetokenChatClient</c> is Foretoken's own
    /// method, whose client hands function calls to its caller instead of invoking them.
    /// </param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatClient(
        this IServiceCollection services,
        Action<ForetokenChatClientOptions> configure,
        string? serviceId
    )
    {
        ArgumentNullException.ThrowIfNull(configure);
        services.AddForetoken(serviceId).Configure(configure);
        return services.AddForetokenChatClient(serviceId);
    }

    /// <summary>
    /// Registers a model as an <see cref="IChatClient"/> whose functions the kernel invokes, with options from configuration.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>; the model path at least.</param>
    /// <param name="serviceId">The service id, or null for none. It has to be given, as with options.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatClient(
        this IServiceCollection services,
        IConfiguration configuration,
        string? serviceId
    )
    {
        ArgumentNullException.ThrowIfNull(configuration);
        services.AddForetoken(serviceId).BindForetoken(configuration);
        return services.AddForetokenChatClient(serviceId);
    }

    /// <summary>Registers a chat client as an <see cref="IChatClient"/> whose functions the kernel invokes.</summary>
    /// <param name="services">The services.</param>
    /// <param name="client">The client, such as a <see cref="ForetokenChatClient"/> or one around it; not disposed by the services.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatClient(
        this IServiceCollection services,
        IChatClient client,
        string? serviceId = null
    )
    {
        ArgumentNullException.ThrowIfNull(client);
        return services.AddChatClient(serviceId, _ => client);
    }

    /// <summary>
    /// Registers the <see cref="ForetokenChatClient"/> that the services hold, under the service id or else under none, as an
    /// <see cref="IChatClient"/> whose functions the kernel invokes.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddForetokenChatClient(
        this IServiceCollection services,
        string? serviceId = null
    ) => services.AddChatClient(serviceId, provider => FindClient(provider, serviceId));

    private static IServiceCollection AddCompletion(
        this IServiceCollection services,
        string? serviceId,
        Func<IServiceProvider, IChatClient> find
    )
    {
        ArgumentNullException.ThrowIfNull(services);
        return services.AddKeyedSingleton<IChatCompletionService>(
            serviceId,
            (provider, _) =>
                new ForetokenChatCompletionService(CreatePipeline(provider, find).AsChatCompletionService(provider))
        );
    }

    private static IServiceCollection AddChatClient(
        this IServiceCollection services,
        string? serviceId,
        Func<IServiceProvider, IChatClient> find
    )
    {
        ArgumentNullException.ThrowIfNull(services);
        return services.AddKeyedSingleton(serviceId, (provider, _) => CreatePipeline(provider, find));
    }

    private static IChatClient CreatePipeline(IServiceProvider provider, Func<IServiceProvider, IChatClient> find) =>
        KernelChatClient.Create(find(provider), provider.GetService<ILoggerFactory>(), provider);

    private static ForetokenChatClient FindClient(IServiceProvider provider, string? serviceId) =>
        (serviceId is null ? null : provider.GetKeyedService<ForetokenChatClient>(serviceId))
        ?? provider.GetService<ForetokenChatClient>()
        ?? throw new InvalidOperationException(
            serviceId is null
                ? "No ForetokenChatClient is registered. Give options or a client, as in AddForetokenChatCompletion(options => options.ModelPath = \"model.gguf\")."
                : $"No ForetokenChatClient is registered under the service id '{serviceId}' or without one. Give options or a client, as in AddForetokenChatCompletion(options => options.ModelPath = \"model.gguf\", \"{serviceId}\")."
        );
}
