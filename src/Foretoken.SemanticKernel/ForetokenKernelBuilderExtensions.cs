using Foretoken;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel.ChatCompletion;

namespace Microsoft.SemanticKernel;

/// <summary>Adds Foretoken to kernels.</summary>
/// <remarks><inheritdoc cref="ForetokenKernelServiceCollectionExtensions" path="/remarks/node()"/></remarks>
public static class ForetokenKernelBuilderExtensions
{
    /// <summary>Adds a model as an <see cref="IChatCompletionService"/> whose functions the kernel invokes.</summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatCompletion(
        this IKernelBuilder builder,
        Action<ForetokenChatClientOptions> configure,
        string? serviceId = null
    ) => builder.With(services => services.AddForetokenChatCompletion(configure, serviceId));

    /// <summary>
    /// Adds a model as an <see cref="IChatCompletionService"/> whose functions the kernel invokes, with options from configuration.
    /// </summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>; the model path at least.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatCompletion(
        this IKernelBuilder builder,
        IConfiguration configuration,
        string? serviceId = null
    ) => builder.With(services => services.AddForetokenChatCompletion(configuration, serviceId));

    /// <summary>Adds a chat client as an <see cref="IChatCompletionService"/> whose functions the kernel invokes.</summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="client">The client, such as a <see cref="ForetokenChatClient"/> or one around it; not disposed by the services.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatCompletion(
        this IKernelBuilder builder,
        IChatClient client,
        string? serviceId = null
    ) => builder.With(services => services.AddForetokenChatCompletion(client, serviceId));

    /// <summary>
    /// Adds the <see cref="ForetokenChatClient"/> that the services hold, under the service id or else under none, as an
    /// <see cref="IChatCompletionService"/> whose functions the kernel invokes.
    /// </summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatCompletion(this IKernelBuilder builder, string? serviceId = null) =>
        builder.With(services => services.AddForetokenChatCompletion(serviceId));

    /// <summary>Adds a model as an <see cref="IChatClient"/> whose functions the kernel invokes.</summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="configure">Sets the options; the model path at least.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatClient(
        this IKernelBuilder builder,
        Action<ForetokenChatClientOptions> configure,
        string? serviceId = null
    ) => builder.With(services => services.AddForetokenChatClient(configure, serviceId));

    /// <summary>
    /// Adds a model as an <see cref="IChatClient"/> whose functions the kernel invokes, with options from configuration.
    /// </summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="configuration">A section with the names of <see cref="ForetokenChatClientOptions"/>; the model path at least.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatClient(
        this IKernelBuilder builder,
        IConfiguration configuration,
        string? serviceId = null
    ) => builder.With(services => services.AddForetokenChatClient(configuration, serviceId));

    /// <summary>Adds a chat client as an <see cref="IChatClient"/> whose functions the kernel invokes.</summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="client">The client, such as a <see cref="ForetokenChatClient"/> or one around it; not disposed by the services.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatClient(
        this IKernelBuilder builder,
        IChatClient client,
        string? serviceId = null
    ) => builder.With(services => services.AddForetokenChatClient(client, serviceId));

    /// <summary>
    /// Adds the <see cref="ForetokenChatClient"/> that the services hold, under the service id or else under none, as an
    /// <see cref="IChatClient"/> whose functions the kernel invokes.
    /// </summary>
    /// <param name="builder">The kernel builder.</param>
    /// <param name="serviceId">The service id. Default null: none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IKernelBuilder AddForetokenChatClient(this IKernelBuilder builder, string? serviceId = null) =>
        builder.With(services => services.AddForetokenChatClient(serviceId));

    private static IKernelBuilder With(this IKernelBuilder builder, Action<IServiceCollection> add)
    {
        ArgumentNullException.ThrowIfNull(builder);
        add(builder.Services);
        return builder;
    }
}
