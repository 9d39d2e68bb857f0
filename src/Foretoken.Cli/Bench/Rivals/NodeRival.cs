using System.Diagnostics;
using Foretoken.Cli.Console;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>node-llama-cpp, driven by a script in the caller's own Node.js.</summary>
internal static class NodeRival
{
    /// <exception cref="CliException">There is no Node.js, it does not find the package, or the package fails.</exception>
    internal static Task<TokenRival> StartAsync(TokenRivalSettings settings, CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new("node", ["--input-type=module", "--eval", Script]);
        start.Environment["FORETOKEN_RIVAL"] = settings.ToJson();
        return TokenRival.StartAsync(
            RivalOption.NodeLlamaCpp,
            "Node.js from https://nodejs.org",
            "the same tokens as both sides, from an empty sequence; time to the first generated token by Node's clock, on the CPU, with as many threads and as large batches; the llama.cpp within is its own build.",
            start,
            cancellationToken
        );
    }

    // packages are looked for from the folder that the benchmark is run in
    private const string Script = """
        import { createInterface } from "node:readline";
        // the package tries its binaries in children, which must not run this script again
        process.execArgv.length = 0;
        const answer = value => process.stdout.write(JSON.stringify(value) + "\n");
        let llamaCpp;
        try {
            llamaCpp = await import("node-llama-cpp");
        } catch (error) {
            answer({ error: `Node.js does not find the package in ${process.cwd()}: ${error.message.split("\n")[0]} Install it there with "npm install node-llama-cpp", or leave this rival out.` });
            process.exit(1);
        }
        try {
            const settings = JSON.parse(process.env.FORETOKEN_RIVAL);
            const llama = await llamaCpp.getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: llamaCpp.LlamaLogLevel?.error });
            const model = await llama.loadModel({ modelPath: settings.model });
            const context = await model.createContext({
                contextSize: settings.context, batchSize: settings.uBatch, sequences: 1,
                threads: settings.threads, flashAttention: settings.flashAttention });
            const sequence = context.getSequence();
            let version = "";
            try { version = (await llamaCpp.getModuleVersion?.()) ?? ""; } catch { }
            answer({ version });
            for await (const line of createInterface({ input: process.stdin })) {
                if (line === "quit") break;
                const [decode, ...tokens] = line.split(" ").map(Number);
                await sequence.clearHistory();
                const arrivals = [];
                const start = performance.now();
                for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
                    arrivals.push(performance.now() - start);
                    if (arrivals.length > decode) break;
                }
                answer(arrivals.length === 0 ? { error: "it generated nothing" }
                    : { ttft: arrivals[0], decode: arrivals.slice(1).map((at, i) => at - arrivals[i]) });
            }
            process.exit(0);
        } catch (error) {
            answer({ error: String(error.message ?? error).split("\n")[0] });
            process.exit(1);
        }
        """;
}
