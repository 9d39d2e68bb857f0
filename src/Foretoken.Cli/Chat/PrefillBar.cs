using Foretoken.Sessions;
using Spectre.Console;

namespace Foretoken.Cli.Chat;

/// <summary>A progress bar for a prefill that takes noticeable time; a quick one shows nothing.</summary>
internal sealed class PrefillBar : IProgress<PrefillProgress>
{
    /// <summary>People notice a delay from about here on.</summary>
    private static readonly TimeSpan Noticeable = TimeSpan.FromMilliseconds(400);
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(60);

    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _shown;
    private double _fraction;

    private PrefillBar(IAnsiConsole console, TimeProvider time) => _shown = ShowAsync(console, time);

    /// <summary>Waits, and shows the bar once the wait is noticeable. Nothing is shown where there is no terminal.</summary>
    internal static PrefillBar? Start(IAnsiConsole console, TimeProvider? time = null) =>
        console.Profile.Capabilities is { Interactive: true, Ansi: true }
            ? new PrefillBar(console, time ?? TimeProvider.System)
            : null;

    /// <summary>Comes from the thread that computes.</summary>
    public void Report(PrefillProgress value) => Volatile.Write(ref _fraction, value.Fraction);

    /// <summary>Removes the bar. The console is free when the task completes.</summary>
    internal Task EndAsync()
    {
        _ended.TrySetResult();
        return _shown;
    }

    private async Task ShowAsync(IAnsiConsole console, TimeProvider time)
    {
        if (await EndedWithin(Noticeable, time))
        {
            return;
        }
        await console
            .Progress()
            .AutoClear(true)
            .Columns(
                new TaskDescriptionColumn(),
                new ProgressBarColumn(),
                new PercentageColumn(),
                new ElapsedTimeColumn()
            )
            .StartAsync(async context =>
            {
                ProgressTask bar = context.AddTask("[grey]reading[/]", maxValue: 1);
                while (!await EndedWithin(Frame, time))
                {
                    bar.Value = Volatile.Read(ref _fraction);
                }
            });
    }

    private async Task<bool> EndedWithin(TimeSpan delay, TimeProvider time)
    {
        await Task.WhenAny(_ended.Task, Task.Delay(delay, time));
        return _ended.Task.IsCompleted;
    }
}
