namespace Foretoken.Importance;

/// <summary>
/// Numbers per token that a policy hands from one boundary of a prefill to the next. When tokens leave at a boundary, their
/// numbers leave with them.
/// </summary>
/// <remarks>One instance per prefill, used by one thread.</remarks>
internal sealed class TokenMemory
{
    private readonly Dictionary<int, float[]> _columns = [];

    /// <summary>Remembers one number per token that arrived at the present boundary.</summary>
    /// <param name="key">What the numbers are, for example the layer of the boundary that they are meant for.</param>
    /// <param name="values">One number per token, [tokens].</param>
    public void Set(int key, ReadOnlySpan<float> values) => _columns[key] = values.ToArray();

    /// <summary>What was remembered of the tokens that are still there, [tokens]; empty when nothing was.</summary>
    /// <param name="key">As for <see cref="Set"/>.</param>
    public ReadOnlySpan<float> Get(int key) => _columns.GetValueOrDefault(key);

    /// <summary>Forgets the tokens that leave.</summary>
    /// <param name="kept">Indices of the tokens that go on, ascending.</param>
    internal void Keep(ReadOnlySpan<int> kept)
    {
        foreach (int key in _columns.Keys.ToArray())
        {
            float[] all = _columns[key];
            float[] left = new float[kept.Length];
            for (int i = 0; i < kept.Length; i++)
            {
                left[i] = all[kept[i]];
            }

            _columns[key] = left;
        }
    }
}
