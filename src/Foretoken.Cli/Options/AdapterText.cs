using System.Globalization;

namespace Foretoken.Cli.Options;

/// <summary>How a title names the LoRA adapters that something was measured with.</summary>
internal static class AdapterText
{
    /// <summary>", with NAME at SCALE and NAME at SCALE"; empty without adapters.</summary>
    internal static string With(IEnumerable<(string Name, float Scale)> adapters)
    {
        string names = string.Join(
            " and ",
            adapters.Select(one => string.Create(CultureInfo.InvariantCulture, $"{one.Name} at {one.Scale}"))
        );
        return names.Length == 0 ? "" : $", with {names}";
    }
}
