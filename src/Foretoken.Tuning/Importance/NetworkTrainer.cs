using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Interop;

namespace Foretoken.Tuning.Importance;

/// <summary>Trains skim predictors with the optimiser of the native library (AdamW of ggml, on the CPU).</summary>
internal static unsafe class NetworkTrainer
{
    /// <summary>Learns targets from residual streams by least squares.</summary>
    /// <param name="residuals">One row per sample, [samples, embedding] row-major.</param>
    /// <param name="targets">One number per sample, [samples].</param>
    /// <param name="embeddingSize">Width of a row.</param>
    /// <param name="heldOut">
    /// How many of the last samples are not trained on, but judged; whole prompts, as the tokens of one prompt are alike.
    /// </param>
    /// <param name="options">How it is trained.</param>
    /// <param name="progress">Told after every epoch, on the calling thread.</param>
    /// <param name="cancellationToken">Takes effect within one step.</param>
    /// <returns>The same for the same samples, options and machine.</returns>
    /// <exception cref="ArgumentException">Sizes or options do not fit, or a number is not finite.</exception>
    /// <exception cref="ComputeException">The training diverged.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    internal static NetworkFit Fit(
        ReadOnlySpan<float> residuals,
        ReadOnlySpan<float> targets,
        int embeddingSize,
        int heldOut,
        NetworkTrainerOptions options,
        IProgress<NetworkEpoch>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        if (residuals.Length != (long)targets.Length * embeddingSize)
        {
            throw new ArgumentException(
                $"{targets.Length} samples of width {embeddingSize} have {(long)targets.Length * embeddingSize} numbers, not {residuals.Length}.",
                nameof(residuals)
            );
        }

        cancellationToken.ThrowIfCancellationRequested();
        NativeLoader.EnsureLoaded();
        float[] weights = new float[ResidualNetwork.WeightCount(embeddingSize, options.HiddenSize)];
        string config = string.Create(
            CultureInfo.InvariantCulture,
            $$"""
            {"epochs": {{options.Epochs}}, "batch_size": {{options.BatchSize}}, "learning_rate": {{options.LearningRate:R}},
             "weight_decay": {{options.WeightDecay:R}}, "seed": {{options.Seed}}, "n_threads": {{options.Threads}}}
            """
        );

        Listener listener = new(progress);
        GCHandle user = GCHandle.Alloc(listener);
        NativeCall.Check(NativeMethods.ftk_cancel_create(out SafeCancelHandle cancel), CancellationToken.None);
        try
        {
            int status;
            string message = "";
            double trainingLoss;
            double validationLoss;
            using (NativeCancellation.Arm(cancel, cancellationToken))
            {
                fixed (float* x = residuals)
                fixed (float* y = targets)
                fixed (float* w = weights)
                {
                    status = NativeMethods.ftk_skim_fit(
                        x,
                        y,
                        targets.Length,
                        heldOut,
                        embeddingSize,
                        options.HiddenSize,
                        config,
                        &OnProgress,
                        (void*)GCHandle.ToIntPtr(user),
                        cancel,
                        w,
                        weights.Length,
                        out _,
                        out trainingLoss,
                        out validationLoss
                    );
                }

                if (status != 0)
                {
                    message = NativeCall.LastError();
                }
            }

            if (status != 0)
            {
                listener.Error?.Throw();
                throw NativeCall.ToException((NativeStatus)status, message, cancellationToken);
            }

            return new NetworkFit(
                new ResidualNetwork(embeddingSize, options.HiddenSize, weights),
                trainingLoss,
                validationLoss
            );
        }
        finally
        {
            cancel.Dispose();
            user.Free();
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnProgress(void* user, int epoch, int epochs, double trainingLoss, double validationLoss)
    {
        Listener listener = (Listener)GCHandle.FromIntPtr((nint)user).Target!;
        try
        {
            listener.Progress?.Report(new NetworkEpoch(epoch + 1, epochs, trainingLoss, validationLoss));
            return 0;
        }
#pragma warning disable CA1031 // rethrown by Fit; it must not unwind into native code
        catch (Exception e)
#pragma warning restore CA1031
        {
            listener.Error = ExceptionDispatchInfo.Capture(e);
            return 1;
        }
    }

    private sealed class Listener(IProgress<NetworkEpoch>? progress)
    {
        public IProgress<NetworkEpoch>? Progress => progress;

        public ExceptionDispatchInfo? Error { get; set; }
    }
}
