using System.Globalization;
using Foretoken.Tuning;
using Spectre.Console;

namespace Foretoken.Cli.Quality;

/// <summary>Shows how far an evaluation is: a bar at a terminal, a line now and then anywhere else.</summary>
internal static class QualityProgressView
{
    private static readonly TimeSpan BetweenLines = TimeSpan.FromSeconds(15);

    /// <summary>Runs an evaluation on a thread of its own.</summary>
    internal static async Task RunAsync(CliContext context, Action<IProgress<QualityProgress>> evaluate)
    {
        if (!context.Errors.Profile.Capabilities.Interactive)
        {
            await OnThread(() => evaluate(new Lines(context)));
            return;
        }

        await context
            .Errors.Progress()
            .AutoClear(true)
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left },
                new ProgressBarColumn(),
                new PercentageColumn()
            )
            .StartAsync(async progress =>
            {
                ProgressTask bar = progress.AddTask("warming up", maxValue: 1);
                await OnThread(() => evaluate(new Bar(bar)));
            });
    }

    internal static string Describe(QualityProgress progress) =>
        string.Create(CultureInfo.InvariantCulture, $"{progress.PromptsDone} of {progress.Prompts} prompts")
        + (progress.Remaining is { } left ? $", {Duration(left)} left" : "");

    private static string Duration(TimeSpan time) =>
        time.TotalSeconds < 90
            ? string.Create(CultureInfo.InvariantCulture, $"about {Math.Max(1, Math.Round(time.TotalSeconds))} s")
            : string.Create(CultureInfo.InvariantCulture, $"about {Math.Round(time.TotalMinutes)} min");

    private static Task OnThread(Action work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private sealed class Bar(ProgressTask bar) : IProgress<QualityProgress>
    {
        public void Report(QualityProgress value)
        {
            bar.Value = value.Fraction;
            bar.Description = Describe(value);
        }
    }

    private sealed class Lines(CliContext context) : IProgress<QualityProgress>
    {
        private TimeSpan _last;

        public void Report(QualityProgress value)
        {
            if (value.Elapsed - _last >= BetweenLines)
            {
                _last = value.Elapsed;
                context.Note(Describe(value));
            }
        }
    }
}
