using System.Globalization;
using Foretoken.Planning;
using Foretoken.Sessions;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Foretoken.Chat;

/// <summary>Options of a client from configuration.</summary>
internal static class ClientConfiguration
{
    /// <summary>Binds all options. What the generated binder leaves out, because it can only be initialised, is read here.</summary>
    internal static OptionsBuilder<ForetokenChatClientOptions> BindForetoken(
        this OptionsBuilder<ForetokenChatClientOptions> builder,
        IConfiguration configuration
    ) =>
        builder
            .Bind(configuration)
            .Configure(options =>
            {
                options.Speed = ReadSpeed(configuration.GetSection(nameof(options.Speed))).Over(options.Speed);
                if (configuration.GetSection(nameof(options.Completion)) is var completion && completion.Exists())
                {
                    options.Completion = ReadCompletion(completion);
                }
            });

    private static SpeedOptions ReadSpeed(IConfigurationSection section) =>
        new()
        {
            TargetTtftSpeedup = Number(section, nameof(SpeedOptions.TargetTtftSpeedup)),
            TargetDecodeSpeedup = Number(section, nameof(SpeedOptions.TargetDecodeSpeedup)),
            MaxQualityLoss = Number(section, nameof(SpeedOptions.MaxQualityLoss)),
            UseThresholds = Flag(section, nameof(SpeedOptions.UseThresholds)),
            Importance = Text(section, nameof(SpeedOptions.Importance)),
            Strict = Flag(section, nameof(SpeedOptions.Strict)),
        };

    private static CompletionOptions ReadCompletion(IConfigurationSection section)
    {
        CompletionOptions defaults = new();
        return new CompletionOptions
        {
            Mode = Text(section, nameof(CompletionOptions.Mode)) is { } mode
                ? ReadMode($"{section.Path}:{nameof(CompletionOptions.Mode)}", mode)
                : defaults.Mode,
            Grade = Named(section, nameof(CompletionOptions.Grade), defaults.Grade),
            ByOutputToken = (int)Whole(
                section,
                nameof(CompletionOptions.ByOutputToken),
                defaults.ByOutputToken,
                int.MaxValue
            ),
            MaxTimeShare = Number(section, nameof(CompletionOptions.MaxTimeShare)) ?? defaults.MaxTimeShare,
            MaxTokenDelay = Text(section, nameof(CompletionOptions.MaxTokenDelay)) is { } delay
                ? ReadTime($"{section.Path}:{nameof(CompletionOptions.MaxTokenDelay)}", delay)
                : defaults.MaxTokenDelay,
            Storage = Named(section, nameof(CompletionOptions.Storage), defaults.Storage),
            MaxStorageBytes = Whole(
                section,
                nameof(CompletionOptions.MaxStorageBytes),
                defaults.MaxStorageBytes,
                long.MaxValue
            ),
            IdleThreads = (int)Whole(
                section,
                nameof(CompletionOptions.IdleThreads),
                defaults.IdleThreads,
                int.MaxValue
            ),
        };
    }

    // WhileAnswering, as an enum is written, and while_answering, as a request writes it
    private static CompletionMode ReadMode(string key, string text) =>
        Enum.TryParse(text, ignoreCase: true, out CompletionMode mode) ? mode : CompletionModeText.Parse(key, text);

    private static string? Text(IConfigurationSection section, string name) =>
        section[name] is { Length: > 0 } text ? text : null;

    private static double? Number(IConfigurationSection section, string name) =>
        Text(section, name) is { } text ? OptionValue.ToDouble($"{section.Path}:{name}", text) : null;

    private static bool? Flag(IConfigurationSection section, string name) =>
        Text(section, name) is { } text ? OptionValue.ToBoolean($"{section.Path}:{name}", text) : null;

    private static long Whole(IConfigurationSection section, string name, long fallback, long most) =>
        Text(section, name) is not { } text ? fallback
        : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
        && number <= most
            ? number
        : throw new ArgumentException($"The option '{section.Path}:{name}' is a whole number; '{text}' is not one.");

    private static T Named<T>(IConfigurationSection section, string name, T fallback)
        where T : struct, Enum =>
        Text(section, name) is not { } text ? fallback
        : Enum.TryParse(text, ignoreCase: true, out T value) ? value
        : throw new ArgumentException(
            $"The option '{section.Path}:{name}' is one of {string.Join(", ", Enum.GetNames<T>())}; '{text}' is not."
        );

    private static TimeSpan ReadTime(string key, string text) =>
        TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan time)
            ? time
            : throw new ArgumentException($"The option '{key}' is a time such as 00:00:00.050; '{text}' is not one.");
}
