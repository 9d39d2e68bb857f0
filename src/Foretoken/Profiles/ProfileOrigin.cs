namespace Foretoken.Profiles;

/// <summary>What a profile was learned from.</summary>
/// <param name="CreatedAt">When.</param>
/// <param name="Prompts">Number of prompts that the predictors were fitted on.</param>
/// <param name="HeldOutPrompts">Number of prompts that the quality was measured on.</param>
/// <param name="PromptTokens">Tokens of a prompt, median.</param>
/// <param name="Seed">Seed of the prompts.</param>
/// <param name="Description">Which prompts, for people: names of documents or of a prompt file.</param>
internal sealed record ProfileOrigin(
    DateTimeOffset CreatedAt,
    int Prompts,
    int HeldOutPrompts,
    int PromptTokens,
    int Seed,
    string Description
);
