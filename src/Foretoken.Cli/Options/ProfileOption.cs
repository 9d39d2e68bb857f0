using System.CommandLine;
using Foretoken.Sessions;

namespace Foretoken.Cli.Options;

/// <summary><c>--profile</c>, of every command that uses a model.</summary>
internal static class ProfileOption
{
    private const string None = "none";

    internal static Option<string?> Create() =>
        new("--profile")
        {
            HelpName = "path|none",
            Description =
                "The model's profile, from 'foretoken tune'; none for none. Default: the one beside the model, where there is one.",
        };

    internal static bool IsNone(string? value) => string.Equals(value, None, StringComparison.OrdinalIgnoreCase);

    /// <summary>How to load a model with this profile.</summary>
    /// <param name="value">Value of the option.</param>
    /// <param name="devices">Where layers are computed.</param>
    /// <param name="useMeasuredCosts">Whether plans rest on this machine's times; otherwise they are the same everywhere.</param>
    internal static ModelOptions ToModelOptions(string? value, DeviceChoice devices, bool useMeasuredCosts = true) =>
        devices.ApplyTo(
            new ModelOptions
            {
                UseMeasuredCosts = useMeasuredCosts,
                ProfilePath = IsNone(value) ? null : value,
                UseProfile = !IsNone(value),
            }
        );
}
