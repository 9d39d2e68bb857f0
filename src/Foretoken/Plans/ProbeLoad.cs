namespace Foretoken.Plans;

/// <summary>
/// How much attention an importance has measured while a stage runs: for so many of its last layers, the attention of some last
/// queries and of a share of all queries. What the probes cost follows from it.
/// </summary>
/// <param name="Layers">Layers of a stage that are probed at most, its last ones.</param>
/// <param name="LastQueries">Queries per probed layer that stand at the end of the stage, over all probes of the layer.</param>
/// <param name="QueryShare">Share of all queries of the stage that is probed beside them, per layer; 0 for none, 1 for all.</param>
internal readonly record struct ProbeLoad(int Layers, double LastQueries, double QueryShare);
