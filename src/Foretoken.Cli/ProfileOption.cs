using System.CommandLine;
using Foretoken.Inference;

namespace Foretoken.Cli;

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
    /// <param name="useCostProfile">Whether plans rest on this machine's times; otherwise they are the same everywhere.</param>
    internal static ModelOptions ToModelOptions(string? value, DeviceChoice devices, bool useCostProfile = true) =>
        devices.ApplyTo(
            new ModelOptions
            {
                UseCostProfile = useCostProfile,
                ProfilePath = IsNone(value) ? null : value,
                UseProfile = !IsNone(value),
            }
        );
}
