using Foretoken.Chat;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Chat;

public sealed class SlotPoolTests
{
    [Fact]
    public async Task A_slot_is_lent_to_one_request_at_a_time()
    {
        SlotPool<string> pool = new(["a", "b"]);
        string first = await pool.AcquireAsync(Nothing, default);
        string second = await pool.AcquireAsync(Nothing, default);
        Assert.NotEqual(first, second);
        Task<string> third = pool.AcquireAsync(Nothing, default);
        Assert.False(third.IsCompleted);
        Assert.Equal((0, 1), (pool.IdleCount, pool.WaitingCount));
        pool.Release(second);
        Assert.Equal(second, await third);
        pool.Release(first);
        pool.Release(second);
        Assert.Equal((2, 0), (pool.IdleCount, pool.WaitingCount));
    }

    [Fact]
    public async Task Waiting_requests_are_served_in_the_order_they_came()
    {
        SlotPool<string> pool = new(["a"]);
        string slot = await pool.AcquireAsync(Nothing, default);
        Task<string>[] waiting = [.. Enumerable.Range(0, 5).Select(_ => pool.AcquireAsync(Nothing, default))];
        for (int i = 0; i < waiting.Length; i++)
        {
            Assert.All(waiting[i..], task => Assert.False(task.IsCompleted));
            pool.Release(slot);
            Assert.Equal(slot, await waiting[i]);
        }
    }

    [Fact]
    public async Task A_cancelled_request_leaves_the_queue_and_takes_no_slot()
    {
        SlotPool<string> pool = new(["a"]);
        string slot = await pool.AcquireAsync(Nothing, default);
        using CancellationTokenSource source = new();
        Task<string> cancelled = pool.AcquireAsync(Nothing, source.Token);
        Task<string> next = pool.AcquireAsync(Nothing, default);
        await source.CancelAsync();
        OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        Assert.Equal(source.Token, error.CancellationToken);
        pool.Release(slot);
        Assert.Equal(slot, await next);
        pool.Release(slot);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pool.AcquireAsync(Nothing, source.Token));
        Assert.Equal((1, 0), (pool.IdleCount, pool.WaitingCount));
    }

    [Fact]
    public async Task The_longest_reusable_prefix_decides()
    {
        Dictionary<string, SlotMatch> held = new()
        {
            ["a"] = new(100, 10),
            ["b"] = new(300, 0),
            ["c"] = new(200, 5),
        };
        SlotPool<string> pool = new(held.Keys);
        Assert.Equal("b", await pool.AcquireAsync(slot => held[slot], default));
        Assert.Equal("c", await pool.AcquireAsync(slot => held[slot], default));
        Assert.Equal("a", await pool.AcquireAsync(slot => held[slot], default));
    }

    [Fact]
    public async Task A_prefix_that_is_not_worth_what_it_overwrites_does_not_count()
    {
        Dictionary<string, SlotMatch> held = new() { ["empty"] = new(0, 0), ["conversation"] = new(4, 500) };
        SlotPool<string> pool = new(["empty", "conversation"]);
        Assert.Equal("empty", await pool.AcquireAsync(slot => held[slot], default));
    }

    [Fact]
    public async Task Without_a_useful_prefix_the_least_recently_used_slot_is_taken()
    {
        SlotPool<string> pool = new(["a", "b", "c"]);
        List<string> order = [];
        for (int i = 0; i < 6; i++)
        {
            string slot = await pool.AcquireAsync(_ => new SlotMatch(4, 100), default);
            order.Add(slot);
            pool.Release(slot);
        }
        Assert.Equal(["a", "b", "c", "a", "b", "c"], order);

        // using a slot again makes it the most recent one
        pool.Release(await pool.AcquireAsync(slot => slot == "a" ? new(100, 0) : default, default));
        Assert.Equal("b", await pool.AcquireAsync(Nothing, default));
        Assert.Equal("c", await pool.AcquireAsync(Nothing, default));
        Assert.Equal("a", await pool.AcquireAsync(Nothing, default));
    }

    [Fact]
    public async Task No_slot_is_lost_or_lent_twice_in_a_crowd_with_cancellations()
    {
        int[][] slots =
        [
            [0],
            [0],
            [0],
        ];
        SlotPool<int[]> pool = new(slots);
        int served = 0;
        await Task.WhenAll(
            Enumerable
                .Range(0, 400)
                .Select(seed =>
                    Task.Run(async () =>
                    {
                        using CancellationTokenSource source = new();
                        Task<int[]> turn = pool.AcquireAsync(Nothing, source.Token);
                        if (seed % 3 == 0)
                        {
                            await source.CancelAsync();
                        }
                        try
                        {
                            int[] slot = await turn;
                            Assert.Equal(1, Interlocked.Increment(ref slot[0]));
                            await Task.Yield();
                            Interlocked.Decrement(ref slot[0]);
                            Interlocked.Increment(ref served);
                            pool.Release(slot);
                        }
                        catch (OperationCanceledException) when (seed % 3 == 0) { }
                    })
                )
        );
        Assert.InRange(served, 266, 400);
        Assert.Equal((3, 0), (pool.IdleCount, pool.WaitingCount));
    }

    private static SlotMatch Nothing<T>(T slot) => default;
}
