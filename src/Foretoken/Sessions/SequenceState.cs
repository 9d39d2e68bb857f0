using System.Runtime.InteropServices;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>
/// The tokens of a sequence, and how far the layers hold what a full prefill would have left there. Decides what a later prompt can
/// reuse. Computes nothing.
/// </summary>
internal sealed class SequenceState
{
    private readonly List<int> _tokens = [];
    private readonly List<ThinnedSpan> _thinned = [];

    /// <summary>The tokens. The span is valid until the next change.</summary>
    internal ReadOnlySpan<int> Tokens => CollectionsMarshal.AsSpan(_tokens);

    internal int Count => _tokens.Count;

    /// <summary>Spans that were thinned, ascending.</summary>
    internal IReadOnlyList<ThinnedSpan> Thinned => _thinned;

    /// <summary>What every token was computed without.</summary>
    internal IReadOnlyList<LayerSkip> Skips { get; set; } = [];

    /// <summary>What every token was computed with.</summary>
    internal ScaledAdapter[] Adapters { get; set; } = [];

    /// <summary>
    /// In front of this, every layer holds what a full prefill would have left there, although spans behind it start below.
    /// </summary>
    internal int ExactFront { get; private set; }

    /// <summary>In front of this, no layer lacks a token of a span.</summary>
    internal int FilledFront { get; private set; }

    /// <summary>
    /// Tokens from here on were computed while upper layers lacked some in front of them, and are not part of a span.
    /// </summary>
    internal int DerivedFrom { get; private set; } = int.MaxValue;

    internal bool IsThinned => _thinned.Exists(span => span.State != SpanState.Filled);

    internal bool IsExact => _thinned.Count == 0 && DerivedFrom >= _tokens.Count;

    /// <summary>The first token that differs from what full prefill and decode would have left.</summary>
    internal int InexactFrom =>
        Math.Max(ExactFront, Math.Min(_thinned.Count > 0 ? _thinned[0].Start : int.MaxValue, DerivedFrom));

    /// <summary>Leading tokens of a prompt whose cache entries can serve it; at least the last token is computed.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="exact">Whether it may only begin with what a full prefill would have left.</param>
    internal int ReusablePrefix(ReadOnlySpan<int> prompt, bool exact)
    {
        int common = Math.Min(Tokens.CommonPrefixLength(prompt), prompt.Length - 1);
        if (exact && !IsExact)
        {
            return Math.Min(common, InexactFrom);
        }
        foreach (ThinnedSpan span in _thinned)
        {
            // what was completed of it can serve any prompt
            int start = Math.Max(span.Start, ExactFront);
            bool isWhole =
                span.State == SpanState.Filled
                || (common >= Math.Min(span.End, prompt.Length - 1) && prompt.Length >= span.End);
            bool isSamePrompt = prompt.Length == span.End;
            if (start < common && (!isWhole || (span.HasRestored && isSamePrompt && span.State != SpanState.Filled)))
            {
                return start;
            }
        }
        return common;
    }

    /// <summary>Appends tokens that were computed on what is there.</summary>
    internal void Append(ReadOnlySpan<int> tokens)
    {
        // on a thinned sequence they are not what they could be
        if (_thinned.Count > 0)
        {
            DerivedFrom = Math.Min(DerivedFrom, _tokens.Count);
        }
        _tokens.AddRange(tokens);
    }

    /// <summary>Notes that the tokens from <paramref name="start"/> on were thinned.</summary>
    internal void AddSpan(int start, SpanState state) =>
        _thinned.Add(new ThinnedSpan(start, _tokens.Count, HasRestored: false, state));

    /// <summary>Removes all tokens from an index on.</summary>
    internal void Truncate(int tokenCount)
    {
        if (tokenCount == 0)
        {
            Skips = [];
        }
        _tokens.RemoveRange(tokenCount, _tokens.Count - tokenCount);
        // what was completed exactly is no span any more
        _thinned.RemoveAll(span => span.Start >= tokenCount || tokenCount <= ExactFront);
        for (int i = 0; i < _thinned.Count; i++)
        {
            if (_thinned[i].State == SpanState.Filled)
            {
                _thinned[i] = _thinned[i] with { End = Math.Min(_thinned[i].End, tokenCount) };
            }
        }
        if (DerivedFrom >= tokenCount)
        {
            DerivedFrom = int.MaxValue;
        }
        ExactFront = Math.Min(ExactFront, tokenCount);
        FilledFront = Math.Min(FilledFront, tokenCount);
    }

    /// <summary>Spans that were cut at an index serve no later prompt as a whole.</summary>
    internal void Cut(int tokenCount)
    {
        for (int i = 0; i < _thinned.Count; i++)
        {
            if (_thinned[i].End > tokenCount && _thinned[i].State != SpanState.Filled)
            {
                _thinned[i] = _thinned[i] with { End = int.MaxValue };
            }
        }
    }

    /// <summary>Notes which positions came back because an answer quoted them.</summary>
    internal void MarkRestored(int[] positions)
    {
        for (int i = 0; i < _thinned.Count; i++)
        {
            ThinnedSpan span = _thinned[i];
            if (Array.Exists(positions, position => position >= span.Start && position < span.End))
            {
                _thinned[i] = span with { HasRestored = true };
            }
        }
    }

    /// <summary>The next stretch that upper layers lack tokens of; null when nothing is left to fill.</summary>
    internal (int From, int End)? NextToFill()
    {
        for (int i = 0; i < _thinned.Count; i++)
        {
            ThinnedSpan span = _thinned[i];
            if (span.State != SpanState.Thinned)
            {
                continue;
            }
            int end = Math.Min(span.End, _tokens.Count);
            FilledFront = Math.Max(FilledFront, span.Start);
            if (FilledFront < end)
            {
                return (FilledFront, end);
            }
            MarkFilled(i, end);
        }
        return null;
    }

    /// <summary>Notes that tokens behind <see cref="FilledFront"/> are in every layer now.</summary>
    internal void Filled(int count)
    {
        FilledFront += count;
        for (int i = 0; i < _thinned.Count; i++)
        {
            int end = Math.Min(_thinned[i].End, _tokens.Count);
            if (_thinned[i].State == SpanState.Thinned && FilledFront >= end)
            {
                MarkFilled(i, end);
            }
        }
    }

    /// <summary>Notes that everything in front of an index is what a full prefill would have left.</summary>
    internal void Completed(int front)
    {
        ExactFront = front;
        if (front < _tokens.Count && _thinned.Exists(span => span.End <= front))
        {
            DerivedFrom = Math.Min(DerivedFrom, front);
        }
        _thinned.RemoveAll(span => Math.Min(span.End, _tokens.Count) <= front);
        if (front >= _tokens.Count)
        {
            DerivedFrom = int.MaxValue;
        }
    }

    /// <summary>Notes that a completion from an index on failed: upper layers may lack what it had let go of.</summary>
    internal void CompletionFailed(int from)
    {
        FilledFront = Math.Min(FilledFront, from);
        for (int i = 0; i < _thinned.Count; i++)
        {
            // also where everything had been filled
            if (_thinned[i].State == SpanState.Filled)
            {
                _thinned[i] = _thinned[i] with { State = SpanState.Thinned };
            }
        }
    }

    /// <summary>Takes over what was saved; the sequence was empty.</summary>
    internal void Load(SavedSequence saved)
    {
        _tokens.AddRange(saved.Tokens);
        _thinned.AddRange(saved.Thinned);
        Skips = saved.Skips;
        ExactFront = saved.ExactFront;
        FilledFront = saved.FilledFront;
        DerivedFrom = saved.DerivedFrom;
    }

    private void MarkFilled(int index, int end) =>
        _thinned[index] = _thinned[index] with { End = end, State = SpanState.Filled };
}
