namespace Foretoken.Importance;

/// <summary>Gives every token of a stage a number, its importance, by which tokens are kept at the boundary behind the stage.</summary>
/// <remarks>Implementations are stateless and thread-safe: one instance serves all requests.</remarks>
internal interface IImportancePolicy
{
    /// <summary>Name, as in reports and in <see cref="ImportancePolicies.Get"/>.</summary>
    string Name { get; }

    /// <summary>The probes that must be taken while a stage runs.</summary>
    /// <param name="layerBegin">First layer of the stage.</param>
    /// <param name="layerEnd">Layer behind the last one of the stage; above <paramref name="layerBegin"/>.</param>
    /// <returns>Probes of layers of this stage; empty when none is needed.</returns>
    IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd);

    /// <summary>Computes the importance of every token of the stage.</summary>
    /// <param name="probes">What was measured, in the order of <see cref="GetProbes"/>.</param>
    /// <param name="importance">Receives one number per token, [tokens]; larger is kept first. Only the order matters, unless there is a threshold.</param>
    /// <exception cref="ArgumentException"><paramref name="importance"/> has another length than there are tokens.</exception>
    void ComputeImportance(in BoundaryProbes probes, Span<float> importance);

    /// <summary>
    /// Whether importances are logarithms of shares of attention, so that those of neighbours can be added up: then tokens are
    /// selected by what <see cref="TokenRanking"/> makes of them. Default <see langword="false"/>: by the importances themselves.
    /// </summary>
    bool IsLogShare => false;

    /// <summary>The importance from which a token is worth keeping at a boundary.</summary>
    /// <param name="layer">The boundary.</param>
    /// <returns><see langword="null"/> (the default) when only the order of the importances means something.</returns>
    float? GetThreshold(int layer) => null;
}
