using Foretoken.Errors;
using Microsoft.Extensions.Options;

namespace Foretoken.Chat;

/// <summary>What the setters of the options cannot check: whether there is a model, and whether it can be used.</summary>
internal sealed class ChatClientOptionsValidator : IValidateOptions<ForetokenChatClientOptions>
{
    public ValidateOptionsResult Validate(string? name, ForetokenChatClientOptions options)
    {
        try
        {
            options.EnsureUsable();
            return ValidateOptionsResult.Success;
        }
        catch (Exception e) when (e is ForetokenException or ArgumentException)
        {
            return ValidateOptionsResult.Fail(e.Message);
        }
    }
}
