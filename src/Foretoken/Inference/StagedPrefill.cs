using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using Foretoken.Interop;
using Foretoken.Planning;
using Foretoken.Profiles;

namespace Foretoken.Inference;

/// <summary>
/// Runs one prefill natively, stage by stage. At each boundary the native side calls back with the attention probes, and the
/// importance and the selector choose which tokens go on.
/// </summary>
internal sealed unsafe class StagedPrefill
{
    private readonly PrefillDecision _decision;
    private readonly IProgress<PrefillProgress>? _progress;
    private readonly CancellationToken _cancellationToken;
    private readonly int _firstPosition;
    private readonly List<AttentionProbe[]> _probes = [];
    private readonly TokenMemory _memory = new();
    private readonly int[] _boundaryLayers;
    private readonly SelectionBound[] _bounds;

    // an exception must not unwind through native frames: it waits here until they are gone
    private ExceptionDispatchInfo? _error;

    private StagedPrefill(
        PrefillDecision decision,
        int firstPosition,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        _decision = decision;
        _boundaryLayers = [.. decision.Plan.Boundaries.Select(boundary => boundary.Layer)];
        _bounds = new SelectionBound[_boundaryLayers.Length];
        _firstPosition = firstPosition;
        _progress = progress;
        _cancellationToken = cancellationToken;
    }

    /// <exception cref="OperationCanceledException">Cancelled; the sequence is as it was.</exception>
    /// <exception cref="ComputeException">The computation failed; the sequence is as it was.</exception>
    internal static NativePrefillReport Run(
        SafeContextHandle context,
        SafeCancelHandle cancel,
        PrefillDecision decision,
        ReadOnlySpan<int> tokens,
        int firstPosition,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        cancellationToken.ThrowIfCancellationRequested();
        StagedPrefill prefill = new(decision, firstPosition, progress, cancellationToken);
        using SafePlanHandle plan = prefill.CreateNativePlan();
        GCHandle user = GCHandle.Alloc(prefill);
        try
        {
            int status;
            string message = "";
            using (NativeCancellation.Arm(cancel, cancellationToken))
            {
                fixed (int* p = tokens)
                {
                    status = NativeMethods.ftk_prefill(
                        context,
                        0,
                        p,
                        tokens.Length,
                        plan,
                        &OnSelect,
                        &OnProgress,
                        (void*)GCHandle.ToIntPtr(user),
                        cancel
                    );
                }
                if (status != 0)
                {
                    message = NativeCall.LastError();
                }
            }
            if (status != 0)
            {
                prefill._error?.Throw();
                throw NativeCall.ToException((NativeStatus)status, message, cancellationToken);
            }
        }
        finally
        {
            user.Free();
        }
        string json = NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_prefill_report(context, buffer, capacity, out needed)
        );
        NativePrefillReport report = JsonSerializer.Deserialize(
            json,
            InferenceJsonContext.Default.NativePrefillReport
        )!;
        // the first stage has no boundary below it
        return report with
        {
            Stages =
            [
                .. report.Stages.Select((stage, i) => i == 0 ? stage : stage with { Bound = prefill._bounds[i - 1] }),
            ],
        };
    }

    /// <summary>At a boundary: importance from the probes, the most important tokens go on.</summary>
    private void Select(nint boundary)
    {
        int index = NativeMethods.ftk_boundary_index(boundary);
        int count = checked((int)NativeMethods.ftk_boundary_n_tokens(boundary));
        ReadOnlySpan<int> positions = new(NativeMethods.ftk_boundary_positions(boundary), count);

        int probeCount = NativeMethods.ftk_boundary_n_probes(boundary);
        ReadOnlySpan<AttentionProbe> expected = _probes[index];
        if (probeCount != expected.Length)
        {
            throw new ComputeException(
                $"{expected.Length} probes were asked for in front of layer {NativeMethods.ftk_boundary_layer(boundary)}, and {probeCount} delivered."
            );
        }
        int[] headCounts = new int[probeCount];
        nint[] scores = new nint[probeCount];
        int[] keyCounts = new int[probeCount];
        nint[] keyPositions = new nint[probeCount];
        for (int i = 0; i < probeCount; i++)
        {
            headCounts[i] = NativeMethods.ftk_boundary_n_head(boundary, i);
            scores[i] = (nint)NativeMethods.ftk_boundary_probe(boundary, i);
            keyCounts[i] = checked((int)NativeMethods.ftk_boundary_n_keys(boundary, i));
            keyPositions[i] = (nint)NativeMethods.ftk_boundary_key_positions(boundary, i);
        }

        float[] importance = new float[count];
        BoundaryProbes probes = new(count, expected, headCounts, scores, keyCounts, keyPositions)
        {
            Layer = _boundaryLayers[index],
            LaterBoundaries = _boundaryLayers.AsSpan(index + 1),
            Residual = new ReadOnlySpan<float>(
                NativeMethods.ftk_boundary_residual(boundary),
                checked(count * NativeMethods.ftk_boundary_n_embd(boundary))
            ),
            Memory = _memory,
        };
        _decision.Importance.ComputeImportance(probes, importance);

        bool[] isProtected = new bool[count];
        for (int i = 0; i < count; i++)
        {
            isProtected[i] = _decision.Protected[positions[i] - _firstPosition];
        }
        PlanBoundary planned = _decision.Plan.Boundaries[index];
        int newTokens = _decision.Protected.Length;
        int alwaysKept = AlwaysKept.Count(_decision.Protected);
        int[] kept = TokenSelector.Select(
            importance,
            isProtected,
            atLeast: Math.Min(count, PrefillPlan.CountKept(planned.MinRetention, newTokens, alwaysKept)),
            atMost: Math.Min(count, PrefillPlan.CountKept(planned.Retention, newTokens, alwaysKept)),
            // where importance knows no threshold, and where the plan has a fixed share, that share counts
            planned.MinRetention < planned.Retention
                ? _decision.Importance.GetThreshold(planned.Layer)
                : null,
            out _bounds[index]
        );
        _memory.Keep(kept);
        fixed (int* p = kept)
        {
            NativeCall.Check(NativeMethods.ftk_boundary_keep(boundary, p, kept.Length));
        }
    }

    private SafePlanHandle CreateNativePlan()
    {
        int status = NativeMethods.ftk_plan_create(out SafePlanHandle plan);
        try
        {
            NativeCall.Check(status);
            int stageBegin = 0;
            foreach (PlanBoundary boundary in _decision.Plan.Boundaries)
            {
                NativeCall.Check(NativeMethods.ftk_plan_add_boundary(plan, boundary.Layer));
                AttentionProbe[] probes = [.. _decision.Importance.GetProbes(stageBegin, boundary.Layer)];
                _probes.Add(probes);
                foreach (AttentionProbe probe in probes)
                {
                    NativeCall.Check(
                        NativeMethods.ftk_plan_add_probe(
                            plan,
                            probe.Layer,
                            (int)probe.Reduction,
                            probe.FirstQuery,
                            probe.Stride,
                            (int)probe.Keys
                        )
                    );
                }
                stageBegin = boundary.Layer;
            }
            foreach ((int layer, LayerPart part) in _decision.Plan.Skips)
            {
                if (part != LayerPart.Block)
                {
                    throw new UnsupportedModelException(
                        $"The plan '{_decision.Plan}' cannot run: this native library skips whole blocks only."
                    );
                }
                NativeCall.Check(NativeMethods.ftk_plan_skip_layer(plan, layer));
            }
            return plan;
        }
        catch
        {
            plan.Dispose();
            throw;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnSelect(void* user, nint boundary)
    {
        StagedPrefill prefill = (StagedPrefill)GCHandle.FromIntPtr((nint)user).Target!;
        try
        {
            prefill.Select(boundary);
            return 0;
        }
#pragma warning disable CA1031 // rethrown by Run; it must not unwind into native code
        catch (Exception e)
#pragma warning restore CA1031
        {
            prefill._error ??= ExceptionDispatchInfo.Capture(e);
            return 1;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnProgress(void* user, int stage, long done, long stageTokens, double fraction)
    {
        StagedPrefill prefill = (StagedPrefill)GCHandle.FromIntPtr((nint)user).Target!;
        try
        {
            prefill._progress?.Report(new PrefillProgress(stage, done, stageTokens, fraction));
            return prefill._cancellationToken.IsCancellationRequested ? 1 : 0;
        }
#pragma warning disable CA1031 // rethrown by Run; it must not unwind into native code
        catch (Exception e)
#pragma warning restore CA1031
        {
            prefill._error ??= ExceptionDispatchInfo.Capture(e);
            return 1;
        }
    }
}
