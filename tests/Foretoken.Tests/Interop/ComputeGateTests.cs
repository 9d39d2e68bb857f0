using Foretoken.Interop;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Interop;

public class ComputeGateTests
{
    [Fact]
    public void A_change_waits_for_the_computations_that_run_and_new_ones_for_it()
    {
        ComputeGate gate = new();
        List<string> order = [];
        ComputeGate.Computation first = gate.Enter();
        Thread changing = new(() => gate.Change(() => Add("change")));
        changing.Start();
        SpinWait.SpinUntil(() => gate.PendingChanges == 1);
        using ManualResetEventSlim started = new();
        Thread computing = new(() =>
        {
            started.Set();
            using (gate.Enter())
            {
                Add("next");
            }
        });
        computing.Start();
        started.Wait();

        using CancellationTokenSource cancelled = new();
        cancelled.Cancel();
        Thread impatient = new(() =>
            Assert.Throws<OperationCanceledException>(() => gate.Enter(cancelled.Token).Dispose())
        );
        impatient.Start();
        impatient.Join();

        Add("first");
        first.Dispose();
        changing.Join();
        computing.Join();
        Assert.Equal(["first", "change", "next"], order);

        bool Add(string what)
        {
            lock (order)
            {
                order.Add(what);
            }
            return true;
        }
    }

    [Fact]
    public void What_can_wait_is_done_when_the_last_computation_ends()
    {
        ComputeGate gate = new();
        int done = 0;
        gate.WhenIdle(() => done++);
        Assert.Equal(1, done);
        using (gate.Enter())
        {
            using (gate.Enter())
            {
                gate.WhenIdle(() => done++);
            }
            Assert.Equal(1, done);
        }
        Assert.Equal(2, done);
        Assert.Equal(0, gate.PendingChanges);
    }

    [Fact]
    public void A_change_that_fails_leaves_the_gate_open()
    {
        ComputeGate gate = new();
        Assert.Throws<IOException>(() => gate.Change<int>(() => throw new IOException()));
        using (gate.Enter())
        {
            Assert.Throws<InvalidOperationException>(() => gate.Change(() => 1));
        }
        Assert.Equal(1, gate.Change(() => 1));
    }
}
