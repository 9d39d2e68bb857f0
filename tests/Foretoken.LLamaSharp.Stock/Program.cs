// Foretoken.LLamaSharp.Stock MODEL THREADS: one JSON object, what each scenario says
using System.Globalization;
using System.Text.Json;
using Foretoken.LLamaSharp.Tests;

using Scenarios scenarios = new(args[0], int.Parse(args[1], CultureInfo.InvariantCulture));
Dictionary<string, string> said = [];
foreach ((string name, Func<Scenarios, Task<string>> run) in Scenarios.All)
{
    said[name] = await run(scenarios);
}
said[Scenarios.Embedding] = JsonSerializer.Serialize(await scenarios.EmbedAsync());
Console.WriteLine(JsonSerializer.Serialize(said));
