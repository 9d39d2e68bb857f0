namespace Foretoken.Importance;

/// <summary>A measurement taken during a stage: softmax(QK) of one layer, per head and key, reduced over a set of queries.</summary>
/// <param name="Layer">The layer; within the stage.</param>
/// <param name="Reduction">How the queries are reduced.</param>
/// <param name="FirstQuery">First query, an index among the stage's tokens; negative counts from the end, -8 is the last eight.</param>
/// <param name="Stride">Distance from one query to the next; 1 takes all from <paramref name="FirstQuery"/> on.</param>
/// <param name="Keys">The keys whose received attention is delivered.</param>
internal readonly record struct AttentionProbe(
    int Layer,
    ProbeReduction Reduction,
    long FirstQuery,
    long Stride = 1,
    ProbeKeys Keys = ProbeKeys.Stage
);
