using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Foretoken.Sessions;

namespace Foretoken.Tuning.Prompts;

/// <summary>Makes prompts out of text files: documents of a given length, with facts planted in them, and what to ask.</summary>
/// <remarks>
/// <para>
/// Deterministic: the same texts, tokeniser, spec and index give the same prompt, however many others are made. Not
/// thread-safe: it remembers the token counts of paragraphs.
/// </para>
/// <para>
/// Prompts for tuning and for evaluation share no paragraph (<see cref="TextCorpus"/>), no kind of fact, no subject or value
/// of a fact, and no wording. Two of three retrieval prompts hold one planted fact, the third holds three of different
/// kinds, of which one is asked for. What is expected occurs in the document nowhere else.
/// </para>
/// </remarks>
internal sealed partial class PromptGenerator
{
    // of the characters of a document, facts stand between these
    private const double FirstPlace = 0.05;
    private const double LastPlace = 0.85;
    private const int SeveralFacts = 3;
    private const int Attempts = 200;

    // a document may end before its length by this share of it, so that it ends with a sentence
    private const double EndsEarly = 0.05;

    private readonly TextCorpus _corpus;
    private readonly Func<string, int> _countTokens;
    private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);

    /// <summary>Creates a generator.</summary>
    /// <param name="corpus">The texts.</param>
    /// <param name="countTokens">The number of tokens of a text.</param>
    public PromptGenerator(TextCorpus corpus, Func<string, int> countTokens)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(countTokens);
        _corpus = corpus;
        _countTokens = countTokens;
    }

    /// <summary>Creates a generator that counts tokens as a model does.</summary>
    /// <param name="corpus">The texts.</param>
    /// <param name="model">The model.</param>
    public PromptGenerator(TextCorpus corpus, ForetokenModel model)
        : this(corpus, Counter(model)) { }

    /// <summary>The kinds of facts of a set.</summary>
    /// <param name="set">The set.</param>
    public static IReadOnlyList<string> GetFactKinds(PromptSet set) => [.. FactKinds.Of(set).Select(kind => kind.Name)];

    /// <summary>Makes prompts of a spec: those with the indices from 0.</summary>
    /// <param name="spec">What they shall be like.</param>
    /// <param name="count">How many.</param>
    /// <inheritdoc cref="Create" path="/exception"/>
    public IReadOnlyList<DocumentPrompt> CreateMany(PromptSpec spec, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return [.. Enumerable.Range(0, count).Select(index => Create(spec, index))];
    }

    /// <summary>
    /// Makes prompts of all kinds: of eight, three ask for a fact with the question last, two with the question first, two
    /// for something about the whole document, and one for a continuation.
    /// </summary>
    /// <param name="set">What they may be used for.</param>
    /// <param name="count">How many.</param>
    /// <param name="length">As <see cref="PromptSpec.Length"/>.</param>
    /// <param name="seed">Seed of all choices.</param>
    /// <param name="facts">Only facts of this form; <see langword="null"/> for all.</param>
    /// <inheritdoc cref="Create" path="/exception"/>
    public IReadOnlyList<DocumentPrompt> CreateMix(
        PromptSet set,
        int count,
        int length = 1024,
        int seed = 1,
        FactForm? facts = null
    )
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        PromptSpec last = new()
        {
            Set = set,
            Kind = PromptKind.Retrieval,
            Length = length,
            Seed = seed,
            Facts = facts,
        };
        PromptSpec first = last with { QuestionAt = QuestionPlace.First };
        PromptSpec summary = last with { Kind = PromptKind.Summary };
        PromptSpec continuation = last with { Kind = PromptKind.Continuation };
        PromptSpec[] eight = [last, summary, first, last, continuation, first, summary, last];
        Dictionary<PromptSpec, int> used = [];
        DocumentPrompt[] prompts = new DocumentPrompt[count];
        for (int i = 0; i < count; i++)
        {
            PromptSpec spec = eight[i % eight.Length];
            int index = used.GetValueOrDefault(spec);
            used[spec] = index + 1;
            prompts[i] = Create(spec, index);
        }

        return prompts;
    }

    /// <summary>Makes one prompt.</summary>
    /// <param name="spec">What it shall be like.</param>
    /// <param name="index">Which one, from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">The index is negative.</exception>
    /// <exception cref="InvalidOperationException">The texts are too short for a document of that length.</exception>
    public DocumentPrompt Create(PromptSpec spec, int index)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        PromptRandom random = new(
            spec.Seed,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{spec.Set}/{spec.Kind}/{spec.QuestionAt}/{spec.Length}/{index}"
            )
        );
        PromptFrames frames = PromptFrames.Of(spec.Set);
        return spec.Kind switch
        {
            PromptKind.Retrieval => Retrieval(spec, index, frames, random),
            PromptKind.Summary => Summary(spec, index, frames, random),
            _ => Continuation(spec, index, frames, random),
        };
    }

    private DocumentPrompt Retrieval(PromptSpec spec, int index, PromptFrames frames, PromptRandom random)
    {
        string frame = spec.QuestionAt switch
        {
            QuestionPlace.First => random.Choose(frames.First),
            QuestionPlace.Last => random.Choose(frames.Last),
            _ => "",
        };
        FactKind[] kinds = [.. FactKinds.Of(spec.Set).Where(kind => spec.Facts is null || kind.Form == spec.Facts)];
        // in turn, so that every kind has its share; where to begin depends on the seed
        int asked = (int)(
            (new PromptRandom(spec.Seed, $"{spec.Set} kinds").Next(kinds.Length) + (uint)index) % (uint)kinds.Length
        );
        FactKind[] planted =
        [
            kinds[asked],
            .. random.Shuffle(kinds.Where((_, i) => i != asked)).Take(index % 3 == 2 ? SeveralFacts - 1 : 0),
        ];
        Fact[] facts = [.. planted.Select(kind => kind.Draw(random))];
        int reserved =
            _countTokens(frame) + _countTokens(facts[0].Question) + facts.Sum(fact => _countTokens(fact.Statement));
        TextParagraph[] cut = Cut(spec, index, Math.Max(1, spec.Length - reserved), out _);

        // what is expected must not stand in the document already, nor in another fact
        for (int i = 0; i < facts.Length; i++)
        {
            for (int attempt = 0; IsKnown(facts, i, cut) || IsTold(facts[i]); attempt++)
            {
                if (attempt == Attempts)
                {
                    throw new InvalidOperationException(
                        $"Every value of the kind of fact '{facts[i].Kind.Name}' occurs in the texts already; other texts are needed."
                    );
                }

                facts[i] = planted[i].Draw(random);
            }
        }

        double[] places = Places(facts.Length, PromptRandom.Spread(random.NextShare(), index), random);
        (string document, PlantedFact[] told) = Plant(cut, facts, places);
        return new DocumentPrompt
        {
            Id = DocumentPrompt.MakeId(spec.Set, KindId(spec), spec.Length, index),
            Document = document,
            Question = facts[0].Question,
            Kind = PromptKind.Retrieval,
            QuestionAt = spec.QuestionAt,
            Messages =
                spec.QuestionAt == QuestionPlace.NextTurn
                    ? PromptFrames.NextTurn(document, facts[0].Question)
                    : PromptFrames.OneTurn(frame, document, facts[0].Question),
            Expected = facts[0].Accepted,
            AnswerStart = facts[0].AnswerStart,
            Facts = told,
            Length = spec.Length,
        };
    }

    private DocumentPrompt Summary(PromptSpec spec, int index, PromptFrames frames, PromptRandom random)
    {
        string question = frames.Summaries[index % frames.Summaries.Count];
        string frame = random.Choose(spec.QuestionAt == QuestionPlace.First ? frames.First : frames.Last);
        int reserved = _countTokens(frame) + _countTokens(question);
        string document = Join(Cut(spec, index, spec.Length - reserved, out _));
        return new DocumentPrompt
        {
            Id = DocumentPrompt.MakeId(spec.Set, KindId(spec), spec.Length, index),
            Document = document,
            Question = question,
            Kind = PromptKind.Summary,
            QuestionAt = spec.QuestionAt,
            Messages =
                spec.QuestionAt == QuestionPlace.NextTurn
                    ? PromptFrames.NextTurn(document, question)
                    : PromptFrames.OneTurn(frame, document, question),
            Length = spec.Length,
        };
    }

    private DocumentPrompt Continuation(PromptSpec spec, int index, PromptFrames frames, PromptRandom random)
    {
        string question = random.Choose(frames.Continuations);
        string frame = random.Choose(frames.Last);
        int reserved = _countTokens(frame) + _countTokens(question);
        string document = Join(Cut(spec, index, spec.Length - reserved, out string next));
        // a start of the true next words: left to itself a chat model talks about the text instead
        string[] words = next.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return new DocumentPrompt
        {
            Id = DocumentPrompt.MakeId(spec.Set, KindId(spec), spec.Length, index),
            Document = document,
            Question = question,
            Kind = PromptKind.Continuation,
            QuestionAt = QuestionPlace.Last,
            Messages = PromptFrames.OneTurn(frame, document, question),
            AnswerStart = words.Length == 0 ? null : string.Join(' ', words.Take(6)),
            Length = spec.Length,
        };
    }

    /// <summary>Consecutive paragraphs of about a number of tokens, and what comes next.</summary>
    private TextParagraph[] Cut(PromptSpec spec, int index, int tokens, out string next)
    {
        IReadOnlyList<TextParagraph> all = _corpus.Paragraphs(spec.Set);
        double start = PromptRandom.Spread(
            new PromptRandom(spec.Seed, $"{spec.Set} documents {KindId(spec)}").NextShare(),
            index
        );
        int at = all.Count == 0 ? 0 : (int)(start * all.Count);
        List<TextParagraph> cut = [];
        int length = 0;
        for (int taken = 0; taken < all.Count; taken++, at = (at + 1) % all.Count)
        {
            TextParagraph paragraph = all[at];
            int count = Count(paragraph.Text) + 1;
            if (length + count <= tokens)
            {
                cut.Add(paragraph);
                length += count;
                continue;
            }

            int room = tokens - length;
            int end = paragraph.IsProse ? LastFitting(paragraph.Text, SentenceGap(), room) : 0;
            if (room - _countTokens(paragraph.Text[..end]) > EndsEarly * tokens)
            {
                // no sentence ends where the document shall: it breaks off between words
                end = LastFitting(paragraph.Text, WordGap(), room);
            }

            string head = paragraph.Text[..end];
            if (head.Length > 0)
            {
                cut.Add(paragraph with { Text = head });
            }

            next = paragraph.Text[end..].TrimStart();
            return [.. cut];
        }

        throw new InvalidOperationException(
            string.Create(
                CultureInfo.InvariantCulture,
                $"The texts hold {length} tokens for {(spec.Set == PromptSet.Tuning ? "tuning" : "evaluation")} (about half of what they hold is for each), and a document of {tokens} is needed. Ask for shorter prompts or name more text files."
            )
        );
    }

    /// <summary>The last gap in front of which a text has at most a number of tokens; 0 for none.</summary>
    private int LastFitting(string text, Regex gaps, int tokens)
    {
        int[] ends = [.. gaps.Matches(text).Select(gap => gap.Index)];
        int fitting = 0;
        int beyond = ends.Length;
        while (fitting < beyond)
        {
            int middle = (fitting + beyond) / 2;
            if (_countTokens(text[..ends[middle]]) <= tokens)
            {
                fitting = middle + 1;
            }
            else
            {
                beyond = middle;
            }
        }

        return fitting == 0 ? 0 : ends[fitting - 1];
    }

    private int Count(string paragraph)
    {
        if (!_counts.TryGetValue(paragraph, out int count))
        {
            count = _countTokens(paragraph);
            _counts.Add(paragraph, count);
        }

        return count;
    }

    private static bool IsKnown(Fact[] facts, int which, TextParagraph[] document)
    {
        IReadOnlyList<string> expected = facts[which].Accepted;
        foreach (TextParagraph paragraph in document)
        {
            if (
                DocumentPrompt.Occurs(expected, paragraph.Text)
                || DocumentPrompt.Occurs([facts[which].Subject], paragraph.Text)
            )
            {
                return true;
            }
        }

        for (int i = 0; i < facts.Length; i++)
        {
            if (
                i != which
                && (
                    DocumentPrompt.Occurs(expected, facts[i].Statement)
                    || DocumentPrompt.Occurs(facts[i].Accepted, facts[which].Statement)
                )
            )
            {
                return true;
            }
        }

        return false;
    }

    // the question or the start of the answer must not give the answer away
    private static bool IsTold(Fact fact) =>
        DocumentPrompt.Occurs(fact.Accepted, $"{fact.Question} {fact.AnswerStart}");

    // the fact that is asked for stands at the even place, the others around it
    private static double[] Places(int count, double even, PromptRandom random)
    {
        double[] places = new double[count];
        for (int i = 0; i < count; i++)
        {
            double share = (even + ((i + (i == 0 ? 0 : 0.5 * random.NextShare())) / count)) % 1;
            places[i] = FirstPlace + ((LastPlace - FirstPlace) * share);
        }

        return places;
    }

    /// <summary>Puts facts between sentences at about the places asked for, as shares of the document's characters.</summary>
    private static (string Document, PlantedFact[] Facts) Plant(
        TextParagraph[] paragraphs,
        Fact[] facts,
        double[] places
    )
    {
        string text = Join(paragraphs);
        // where a sentence may go in, and where only a paragraph may
        List<int> sentences = [];
        List<int> gaps = [];
        int at = 0;
        foreach (TextParagraph paragraph in paragraphs)
        {
            if (at > 0)
            {
                gaps.Add(at - ParagraphBreak.Length);
            }

            if (paragraph.IsProse)
            {
                sentences.AddRange(SentenceGap().Matches(paragraph.Text).Select(gap => at + gap.Index));
            }

            at += paragraph.Text.Length + ParagraphBreak.Length;
        }

        gaps.Add(text.Length);
        // a place is used once, and from the back to the front, so that the places in front of it stay where they are
        HashSet<int> used = [];
        List<(int At, Fact Fact, bool IsParagraph)> insertions = [];
        for (int i = 0; i < facts.Length; i++)
        {
            bool isParagraph =
                facts[i].Statement.Contains('\n', StringComparison.Ordinal) || facts[i].Statement[0] == ' ';
            int wanted = (int)(places[i] * text.Length);
            IEnumerable<int> possible = (isParagraph ? gaps : sentences).Where(place => !used.Contains(place));
            if (!possible.Any())
            {
                isParagraph = true;
                possible = gaps.Where(place => !used.Contains(place)).DefaultIfEmpty(text.Length);
            }

            int chosen = possible.MinBy(place => Math.Abs(place - wanted));
            used.Add(chosen);
            insertions.Add((chosen, facts[i], isParagraph));
        }

        StringBuilder document = new(text);
        int[] offsets = new int[facts.Length];
        foreach ((int place, Fact fact, bool isParagraph) in insertions.OrderByDescending(insertion => insertion.At))
        {
            string lead = isParagraph ? ParagraphBreak : " ";
            document.Insert(place, lead + fact.Statement);
            int moved = lead.Length + fact.Statement.Length;
            for (int i = 0; i < facts.Length; i++)
            {
                if (insertions[i].Fact == fact)
                {
                    offsets[i] = place + lead.Length;
                }
                else if (insertions[i].At > place)
                {
                    offsets[i] += moved;
                }
            }
        }

        PlantedFact[] told =
        [
            .. facts
                .Select(
                    (fact, i) =>
                        new PlantedFact(
                            fact.Kind.Name,
                            fact.Kind.Form,
                            fact.Statement,
                            (double)offsets[i] / document.Length,
                            IsAsked: i == 0
                        )
                )
                .OrderBy(fact => fact.Place),
        ];
        return (document.ToString(), told);
    }

    private const string ParagraphBreak = "\n\n";

    private static string Join(TextParagraph[] paragraphs) =>
        string.Join(ParagraphBreak, paragraphs.Select(p => p.Text));

    private static string KindId(PromptSpec spec) =>
        (spec.Kind, spec.QuestionAt) switch
        {
            (PromptKind.Continuation, _) => "continuation",
            (PromptKind.Summary, QuestionPlace.First) => "summary-first",
            (PromptKind.Summary, QuestionPlace.NextTurn) => "summary-blind",
            (PromptKind.Summary, _) => "summary",
            (_, QuestionPlace.First) => "retrieval-first",
            (_, QuestionPlace.NextTurn) => "retrieval-blind",
            _ => "retrieval-last",
        };

    private static Func<string, int> Counter(ForetokenModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return text => model.Tokenize(text).Length;
    }

    // the white space behind a sentence, or the end of the text behind one
    [GeneratedRegex(@"(?<=[\p{Ll}\d)][.!?][)""”’']?)(\s+(?=[\p{Lu}""“‘(])|$)")]
    private static partial Regex SentenceGap();

    [GeneratedRegex(@"\s+")]
    private static partial Regex WordGap();
}
