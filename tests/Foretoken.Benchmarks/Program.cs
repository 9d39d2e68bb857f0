using BenchmarkDotNet.Running;
using Foretoken.Benchmarks;

// all arguments are BenchmarkDotNet's own: --filter, --job, --list
BenchmarkSwitcher.FromAssembly(typeof(PlannerBenchmark).Assembly).Run(args);
