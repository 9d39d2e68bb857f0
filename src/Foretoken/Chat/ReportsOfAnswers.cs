using System.Runtime.CompilerServices;
using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>
/// The reports of answers that are in memory, by the very string object that is their id. Updates that are put together to a response
/// lose their raw representation; the id stays. Out of a cache or a saved session comes another string, and nothing is found.
/// </summary>
internal static class ReportsOfAnswers
{
    // compares by reference and keeps nothing alive
    private static readonly ConditionalWeakTable<string, PrefillReport> Reports = [];

    internal static void Add(string id, PrefillReport report) => Reports.AddOrUpdate(id, report);

    internal static PrefillReport? Find(string? id) =>
        id is not null && Reports.TryGetValue(id, out PrefillReport? report) ? report : null;
}
