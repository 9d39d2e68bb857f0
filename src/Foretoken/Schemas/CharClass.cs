using System.Globalization;

namespace Foretoken.Schemas;

/// <summary>
/// A class of characters in a regular expression, from below and from above: whatever is in <see cref="Inner"/> is in the class,
/// and whatever is in the class is in <see cref="Outer"/>. The two differ where the whole class has so many ranges that checking
/// them at every token would be slow, so what a grammar allows is always a part of what the expression allows.
/// </summary>
internal readonly record struct CharClass(CharSet Inner, CharSet Outer)
{
    private const int MaxRanges = 64;

    // the scripts that the inner sets are made of: Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, kana, CJK, Hangul
    private static readonly CharSet Scripts = CharSet.Of(
        (0, 0x24F),
        (0x370, 0x52F),
        (0x5D0, 0x5EA),
        (0x620, 0x64A),
        (0x904, 0x939),
        (0xE01, 0xE30),
        (0x1E00, 0x1EFF),
        (0x2010, 0x205E),
        (0x20A0, 0x20BF),
        (0x2190, 0x22FF),
        (0x3000, 0x30FF),
        (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3)
    );

    internal static CharClass Nothing => Exactly(CharSet.Empty);

    internal static CharClass Digit { get; } =
        new(CharSet.Of(('0', '9')), CharSet.OfCategories(category => category is UnicodeCategory.DecimalDigitNumber));

    internal static CharClass Word { get; } =
        Common(
            CharSet
                .OfCategories(category =>
                    category
                        is <= UnicodeCategory.OtherLetter
                            or UnicodeCategory.NonSpacingMark
                            or UnicodeCategory.DecimalDigitNumber
                            or UnicodeCategory.ConnectorPunctuation
                )
                .Union(CharSet.Of((0x200C, 0x200D)))
        );

    internal static CharClass Space { get; } =
        new(
            CharSet.Of((' ', ' '), ('\t', '\r')),
            CharSet
                .OfCategories(category =>
                    category
                        is UnicodeCategory.SpaceSeparator
                            or UnicodeCategory.LineSeparator
                            or UnicodeCategory.ParagraphSeparator
                )
                .Union(CharSet.Of(('\t', '\r'), (0x85, 0x85)))
        );

    internal static CharClass Exactly(CharSet set) => new(set, set);

    /// <summary>\p{…}; null for a name that is not known.</summary>
    internal static CharClass? Category(string name)
    {
        bool known = false;
        CharSet set = CharSet.OfCategories(category =>
        {
            bool isOne = Abbreviation(category).StartsWith(name, StringComparison.Ordinal);
            known |= isOne;
            return isOne;
        });
        return known && name.Length is 1 or 2 ? Common(set) : null;
    }

    internal CharClass Union(CharClass other) => new(Inner.Union(other.Inner), Outer.Union(other.Outer));

    internal CharClass Except(CharClass other) => new(Inner.Except(other.Outer), Outer.Except(other.Inner));

    internal CharClass Negated() => new(Outer.Complement(), Inner.Complement());

    internal CharClass IgnoringCase() => new(Inner.IgnoringCase(), Outer.IgnoringCase());

    private static CharClass Common(CharSet set) => new(CharSet.Of(set.Intersect(Scripts).Ranges.Take(MaxRanges)), set);

    private static string Abbreviation(UnicodeCategory category) =>
        category switch
        {
            UnicodeCategory.UppercaseLetter => "Lu",
            UnicodeCategory.LowercaseLetter => "Ll",
            UnicodeCategory.TitlecaseLetter => "Lt",
            UnicodeCategory.ModifierLetter => "Lm",
            UnicodeCategory.OtherLetter => "Lo",
            UnicodeCategory.NonSpacingMark => "Mn",
            UnicodeCategory.SpacingCombiningMark => "Mc",
            UnicodeCategory.EnclosingMark => "Me",
            UnicodeCategory.DecimalDigitNumber => "Nd",
            UnicodeCategory.LetterNumber => "Nl",
            UnicodeCategory.OtherNumber => "No",
            UnicodeCategory.SpaceSeparator => "Zs",
            UnicodeCategory.LineSeparator => "Zl",
            UnicodeCategory.ParagraphSeparator => "Zp",
            UnicodeCategory.Control => "Cc",
            UnicodeCategory.Format => "Cf",
            UnicodeCategory.Surrogate => "Cs",
            UnicodeCategory.PrivateUse => "Co",
            UnicodeCategory.ConnectorPunctuation => "Pc",
            UnicodeCategory.DashPunctuation => "Pd",
            UnicodeCategory.OpenPunctuation => "Ps",
            UnicodeCategory.ClosePunctuation => "Pe",
            UnicodeCategory.InitialQuotePunctuation => "Pi",
            UnicodeCategory.FinalQuotePunctuation => "Pf",
            UnicodeCategory.OtherPunctuation => "Po",
            UnicodeCategory.MathSymbol => "Sm",
            UnicodeCategory.CurrencySymbol => "Sc",
            UnicodeCategory.ModifierSymbol => "Sk",
            UnicodeCategory.OtherSymbol => "So",
            _ => "Cn",
        };
}
