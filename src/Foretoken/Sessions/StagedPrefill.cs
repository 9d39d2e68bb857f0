using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Interop;
using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Sessions;

/// <summary>
/// Runs one prefill natively, stage by stage. At each boundary the native side calls back with the attention probes, and the
/// importance and the selector choose which tokens go on.
/// </summary>
internal sealed unsafe class StagedPrefill
{
    private readonly PrefillDecision _decision;
    private readonly ResidualStorage _storage;
    private readonly IProgress<PrefillProgress>? _progress;
    private readonly CancellationToken _cancellationToken;
    private readonly int[] _tokens;
    private readonly int _firstPosition;
    private readonly TokenMemory _memory = new();
    private readonly int[] _boundaryLayers;

    // one per boundary of the native plan: those of the plan, and one where only the routers read
    private readonly List<NativeBoundary> _boundaries = [];

    // probes that came to a boundary where only the routers read: they are for the next one
    private readonly List<KeptProbe> _keptProbes = [];
    private LayerSkip[] _skips;

    // an exception must not unwind through native frames: it waits here until they are gone
    private ExceptionDispatchInfo? _error;

    private StagedPrefill(
        PrefillDecision decision,
        ResidualStorage storage,
        ReadOnlySpan<int> tokens,
        int firstPosition,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        _decision = decision;
        _storage = storage;
        _boundaryLayers = [.. decision.Plan.Boundaries.Select(boundary => boundary.Layer)];
        _skips = [.. decision.Plan.Skips];
        _tokens = tokens.ToArray();
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
        ResidualStorage storage,
        ReadOnlySpan<int> tokens,
        int firstPosition,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        cancellationToken.ThrowIfCancellationRequested();
        StagedPrefill prefill = new(decision, storage, tokens, firstPosition, progress, cancellationToken);
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
        NativePrefillReport report = JsonSerializer.Deserialize(json, SessionJsonContext.Default.NativePrefillReport)!;
        // the first stage has no boundary below it, and where prefill-only pruning begins nobody chose
        return report with
        {
            Stages =
            [
                .. report.Stages.Select(
                    (stage, i) =>
                        i == 0 || i > prefill._boundaries.Count
                            ? stage
                            : stage with
                            {
                                Bound = prefill._boundaries[i - 1].Bound,
                            }
                ),
            ],
            Skips = prefill._skips,
        };
    }

    private void Arrive(nint boundary)
    {
        NativeBoundary here = _boundaries[NativeMethods.ftk_boundary_index(boundary)];
        int count = checked((int)NativeMethods.ftk_boundary_n_tokens(boundary));
        ReadOnlySpan<float> residual = new(
            NativeMethods.ftk_boundary_residual(boundary),
            checked(count * NativeMethods.ftk_boundary_n_embd(boundary))
        );
        if (here.Routing is { } routing)
        {
            Route(boundary, routing, residual, count);
        }
        if (here.Index is { } index)
        {
            Select(boundary, here, index, residual, count);
            return;
        }
        for (int i = 0; i < NativeMethods.ftk_boundary_n_probes(boundary); i++)
        {
            _keptProbes.Add(KeptProbe.Copy(boundary, i));
        }
        int[] all = [.. Enumerable.Range(0, count)];
        fixed (int* p = all)
        {
            NativeCall.Check(NativeMethods.ftk_boundary_keep(boundary, p, count));
        }
    }

    /// <summary>What the prompt chooses to do without.</summary>
    private void Route(nint boundary, SkipRouting routing, ReadOnlySpan<float> residual, int count)
    {
        ILayerRouter router = _decision.Router!;
        LayerSkip[] skips = [.. router.Route(routing, residual, count).Order()];
        if (
            skips.Length > routing.Count
            || skips.Distinct().Count() != skips.Length
            || Array.Exists(skips, skip => skip.Part != routing.Part || skip.Layer < routing.Layer)
        )
        {
            throw new InvalidOperationException(
                $"A router was asked for {routing}, and chose {(skips.Length == 0 ? "nothing" : LayerSkip.Describe(skips))}."
            );
        }
        foreach ((int layer, LayerPart part) in skips)
        {
            NativeCall.Check(NativeMethods.ftk_boundary_skip(boundary, layer, (int)part));
        }
        _skips = skips;
    }

    /// <summary>At a boundary: importance from the probes, the most important tokens go on.</summary>
    private void Select(nint boundary, NativeBoundary here, int index, ReadOnlySpan<float> residual, int count)
    {
        ReadOnlySpan<int> positions = new(NativeMethods.ftk_boundary_positions(boundary), count);

        AttentionProbe[] expected = here.Probes;
        int probeCount = _keptProbes.Count + NativeMethods.ftk_boundary_n_probes(boundary);
        if (probeCount != expected.Length)
        {
            throw new ComputeException(
                $"{expected.Length} probes were asked for in front of layer {_boundaryLayers[index]}, and {probeCount} delivered."
            );
        }
        int[] headCounts = new int[probeCount];
        nint[] scores = new nint[probeCount];
        int[] keyCounts = new int[probeCount];
        nint[] keyPositions = new nint[probeCount];
        int kept = 0;
        int arrived = 0;
        for (int i = 0; i < probeCount; i++)
        {
            if (expected[i].Layer < here.StageBegin)
            {
                KeptProbe probe = _keptProbes[kept++];
                headCounts[i] = probe.HeadCount;
                scores[i] = probe.Scores;
                keyCounts[i] = probe.KeyCount;
                keyPositions[i] = probe.KeyPositions;
            }
            else
            {
                headCounts[i] = NativeMethods.ftk_boundary_n_head(boundary, arrived);
                scores[i] = (nint)NativeMethods.ftk_boundary_probe(boundary, arrived);
                keyCounts[i] = checked((int)NativeMethods.ftk_boundary_n_keys(boundary, arrived));
                keyPositions[i] = (nint)NativeMethods.ftk_boundary_key_positions(boundary, arrived);
                arrived++;
            }
        }

        int[] places = new int[count];
        TensorPrimitives.Subtract(positions, _firstPosition, places);
        int[] tokens = new int[count];
        bool[] isProtected = new bool[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = _tokens[places[i]];
            isProtected[i] = _decision.Protected[places[i]];
        }

        float[] importance = new float[count];
        BoundaryProbes probes = new(count, expected, headCounts, scores, keyCounts, keyPositions)
        {
            Layer = _boundaryLayers[index],
            LaterBoundaries = _boundaryLayers.AsSpan(index + 1),
            Residual = residual,
            Tokens = tokens,
            Memory = _memory,
        };
        _decision.Importance.ComputeImportance(probes, importance);
        // not before: the importance reads from their memory
        _keptProbes.Clear();

        PlanBoundary planned = _decision.Plan.Boundaries[index];
        int newTokens = _decision.Protected.Length;
        int alwaysKept = AlwaysKept.Count(_decision.Protected);
        int atMost = Math.Min(count, PrefillPlan.CountKept(planned.Retention, newTokens, alwaysKept));
        if (_decision.Importance.IsLogShare)
        {
            TokenRanking.Rank(importance, places, TokenRanking.SpanLength(atMost - alwaysKept));
        }
        int[] goingOn = TokenSelector.Select(
            importance,
            isProtected,
            atLeast: Math.Min(count, PrefillPlan.CountKept(planned.MinRetention, newTokens, alwaysKept)),
            atMost,
            // where importance knows no threshold, and where the plan has a fixed share, that share counts
            planned.MinRetention < planned.Retention
                ? _decision.Importance.GetThreshold(planned.Layer)
                : null,
            out SelectionBound bound
        );
        here.Bound = bound;
        _memory.Keep(goingOn);
        fixed (int* p = goingOn)
        {
            NativeCall.Check(NativeMethods.ftk_boundary_keep(boundary, p, goingOn.Length));
        }
    }

    private SafePlanHandle CreateNativePlan()
    {
        int status = NativeMethods.ftk_plan_create(out SafePlanHandle plan);
        try
        {
            NativeCall.Check(status);
            SkipRouting? routing = _decision.Plan.Routing;
            int stageBegin = 0;
            int probesBegin = 0;
            for (int i = 0; i < _boundaryLayers.Length; i++)
            {
                int layer = _boundaryLayers[i];
                if (routing is not null && routing.Layer > stageBegin && routing.Layer < layer)
                {
                    Add(routing.Layer, null, []);
                }
                Add(layer, i, [.. _decision.Importance.GetProbes(probesBegin, layer)]);
                probesBegin = layer;
            }
            if (routing is not null && routing.Layer > stageBegin)
            {
                Add(routing.Layer, null, []);
            }
            foreach (AttentionProbe probe in _boundaries.SelectMany(boundary => boundary.Probes))
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
            foreach ((int layer, LayerPart part) in _decision.Plan.Skips)
            {
                NativeCall.Check(NativeMethods.ftk_plan_skip(plan, layer, (int)part));
            }
            if (_storage != ResidualStorage.None && _boundaryLayers.Length > 0)
            {
                NativeCall.Check(NativeMethods.ftk_plan_store_residual(plan, _storage == ResidualStorage.Half ? 1 : 0));
            }
            if (_decision.Plan.PrefillOnlyFrom is { } from)
            {
                NativeCall.Check(NativeMethods.ftk_plan_prefill_only(plan, from));
            }
            return plan;

            void Add(int layer, int? index, AttentionProbe[] probes)
            {
                NativeCall.Check(NativeMethods.ftk_plan_add_boundary(plan, layer));
                _boundaries.Add(new(index, stageBegin, probes, routing?.Layer == layer ? routing : null));
                stageBegin = layer;
            }
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
            prefill.Arrive(boundary);
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

    /// <summary>A boundary of the native plan.</summary>
    /// <param name="Index">Which of the plan's boundaries it is; null where only the routers read.</param>
    /// <param name="StageBegin">First layer of the stage in front of it.</param>
    /// <param name="Probes">What its importance asked for; some of it may come at a boundary in front of it.</param>
    /// <param name="Routing">What the prompt chooses here; null for nothing.</param>
    private sealed record NativeBoundary(int? Index, int StageBegin, AttentionProbe[] Probes, SkipRouting? Routing)
    {
        /// <summary>What decided how many tokens went on.</summary>
        public SelectionBound Bound { get; set; } = SelectionBound.AllTokens;
    }
}
