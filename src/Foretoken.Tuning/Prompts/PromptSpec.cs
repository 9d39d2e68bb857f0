using System.Globalization;

namespace Foretoken.Tuning.Prompts;

/// <summary>What a generated prompt shall be like.</summary>
internal sealed record PromptSpec
{
    /// <summary>The shortest prompt that can be generated, in tokens: 128.</summary>
    public const int MinLength = 128;

    private readonly int _length = 1024;

    /// <summary>What it may be used for.</summary>
    public required PromptSet Set { get; init; }

    /// <summary>What it asks for.</summary>
    public required PromptKind Kind { get; init; }

    /// <summary>Where the question stands. Continuations have none. Default <see cref="QuestionPlace.Last"/>.</summary>
    public QuestionPlace QuestionAt { get; init; }

    /// <summary>
    /// Tokens of the messages, document and question together, at least <see cref="MinLength"/>; the chat template adds its
    /// own. Default 1,024.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below <see cref="MinLength"/>.</exception>
    public int Length
    {
        get => _length;
        init
        {
            if (value < MinLength)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(value),
                    value,
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"A generated prompt has at least {MinLength} tokens; with fewer there is no document around the question."
                    )
                );
            }

            _length = value;
        }
    }

    /// <summary>Seed of all choices. Default 1.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Only facts of this form; <see langword="null"/> for all. Default <see langword="null"/>.</summary>
    public FactForm? Facts { get; init; }
}
