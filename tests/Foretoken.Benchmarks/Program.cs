// all arguments are BenchmarkDotNet's own: --filter, --job, --list
using BenchmarkDotNet.Running;
using Foretoken.Benchmarks;

BenchmarkSwitcher.FromAssembly(typeof(PlannerBenchmark).Assembly).Run(args);
