using System.Globalization;
using Spectre.Console;

namespace Foretoken.Cli.Console;

/// <summary>Shows how far long work is: a bar at a terminal, a line now and then anywhere else.</summary>
internal static class ProgressView
{
    private static readonly TimeSpan BetweenLines = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan BetweenDrawings = TimeSpan.FromMilliseconds(200);

    /// <summary>Runs work on a thread of its own.</summary>
    /// <param name="context">Where to show.</param>
    /// <param name="describe">What a report says, for people, and the share of the work that is done.</param>
    /// <param name="work">The work.</param>
    internal static async Task RunAsync<T>(
        CliContext context,
        Func<T, (string Text, double Fraction)> describe,
        Action<IProgress<T>> work
    )
    {
        if (!context.Errors.Profile.Capabilities.Interactive)
        {
            await OnThread(() => work(new Lines<T>(context, describe)));
            return;
        }

        await context
            .Errors.Progress()
            .AutoClear(true)
            // redrawn when there is something new: a clock that ticks would take time from what is measured
            .AutoRefresh(false)
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left },
                new ProgressBarColumn(),
                new PercentageColumn()
            )
            .StartAsync(async progress =>
            {
                ProgressTask bar = progress.AddTask("warming up", maxValue: 1);
                await OnThread(() => work(new Bar<T>(progress, bar, describe)));
            });
    }

    /// <summary>For example <c>, about 40 s left</c>; nothing when nothing is known.</summary>
    internal static string Left(TimeSpan? remaining) => remaining is { } time ? $", {About(time)} left" : "";

    /// <summary>For example <c>about 40 s</c>.</summary>
    internal static string About(TimeSpan time) =>
        time.TotalSeconds < 90
            ? string.Create(CultureInfo.InvariantCulture, $"about {Math.Max(1, Math.Round(time.TotalSeconds))} s")
            : string.Create(CultureInfo.InvariantCulture, $"about {Math.Round(time.TotalMinutes)} min");

    /// <summary>
    /// Computes on a thread that ends with the work. One of the pool would keep its native team of threads, and with two teams in
    /// the process OpenMP hardly spins any more: every output token took twice as long.
    /// </summary>
    internal static Task<T> OnThread<T>(Func<T> work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static Task OnThread(Action work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private sealed class Bar<T>(
        ProgressContext progress,
        ProgressTask bar,
        Func<T, (string Text, double Fraction)> describe
    ) : IProgress<T>
    {
        private long _last;

        public void Report(T value)
        {
            (bar.Description, bar.Value) = describe(value);
            if (_last == 0 || TimeProvider.System.GetElapsedTime(_last) >= BetweenDrawings)
            {
                _last = TimeProvider.System.GetTimestamp();
                progress.Refresh();
            }
        }
    }

    private sealed class Lines<T>(CliContext context, Func<T, (string Text, double Fraction)> describe) : IProgress<T>
    {
        private long _last = TimeProvider.System.GetTimestamp();

        public void Report(T value)
        {
            if (TimeProvider.System.GetElapsedTime(_last) >= BetweenLines)
            {
                _last = TimeProvider.System.GetTimestamp();
                context.Note(describe(value).Text);
            }
        }
    }
}
