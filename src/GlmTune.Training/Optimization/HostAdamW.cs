using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>AdamW on the host, for state in host memory: gradients are copied to the host piece by piece, updated
/// values are copied back, and both overlap with the arithmetic.</summary>
/// <remarks>Only the host accesses the state, so it needs no page-locked memory; copies go through a few page-locked
/// buffers. The work is limited by memory bandwidth: 28 bytes per parameter are read and written. Source: Ren et al.,
/// ZeRO-Offload, arXiv:2101.06840, section 5.</remarks>
/// <param name="device">Device of the gradients and of the updated values.</param>
/// <param name="pinned">Whether the buffers are page-locked, so that copies overlap.</param>
/// <param name="pieceElements">Number of elements updated at a time.</param>
internal sealed class HostAdamW(Device device, bool pinned = true, long pieceElements = 1 << 24) : IDisposable
{
    private const int Slots = 3;
    private readonly HostCopies copies = new(device);
    private readonly PlainKernels plain = new();
    private readonly Slot?[] slots = new Slot?[Slots];
    private readonly Queue<Piece> coming = new();
    private int turn;

    /// <summary>Time spent on arithmetic so far.</summary>
    public TimeSpan Busy { get; private set; }

    /// <summary>Number of elements in a piece.</summary>
    public long PieceElements { get; } = Math.Clamp(pieceElements, 1024, 1 << 24);

    /// <summary>Starts the update of a shard with state on the host; its gradient is cleared once it has been
    /// copied.</summary>
    /// <param name="shard">The shard; its gradient is on the device.</param>
    /// <param name="gradientScale">Factor for gradients.</param>
    /// <param name="settings">The numbers of this step.</param>
    /// <remarks>Copies of the last pieces may still be running until <see cref="Finish"/>.</remarks>
    public void Update(FlatShard shard, double gradientScale, in AdamWStep settings)
    {
        if (shard.Type != ScalarType.Float32)
        {
            UpdatePlainly(shard, gradientScale, settings);
            return;
        }

        for (long from = 0; from < shard.Length; from += PieceElements)
        {
            while (coming.Count >= Slots - 1)
            {
                ComputeOldest();
            }

            var count = Math.Min(PieceElements, shard.Length - from);
            var slot = slots[turn] ??= new Slot(device, pinned, PieceElements);
            turn = (turn + 1) % Slots;
            slot.Settle();
            using var gradient = shard.Gradient.narrow(0, from, count);
            coming.Enqueue(
                new Piece(
                    shard,
                    from,
                    count,
                    (float)gradientScale,
                    settings,
                    slot,
                    copies.ToHost(gradient, slot.Gradient)
                )
            );
        }
    }

    /// <summary>Returns when all updates that were started are complete, including on the device.</summary>
    public void Finish()
    {
        while (coming.Count > 0)
        {
            ComputeOldest();
        }

        foreach (var slot in slots)
        {
            slot?.Settle();
        }
    }

    /// <summary>Forgets updates that were started: those of a step that failed are not continued.</summary>
    public void Drop()
    {
        while (coming.TryDequeue(out var piece))
        {
            piece.Copy.Wait();
        }

        foreach (var slot in slots)
        {
            slot?.Settle();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        copies.Dispose();
        foreach (var slot in slots)
        {
            slot?.Dispose();
        }
    }

    private unsafe void ComputeOldest()
    {
        var (shard, from, count, scale, settings, slot, copy) = coming.Dequeue();
        copy.Wait();
        using (var gone = shard.Gradient.narrow(0, from, count))
        {
            gone.zero_();
        }

        var started = Stopwatch.GetTimestamp();
        var half = shard.Compute!.dtype == ScalarType.BFloat16;
        var master = Pointer(shard.Master, from);
        var first = Pointer(shard.Moments.First, from);
        var second = Pointer(shard.Moments.Second, from);
        var gradients = (float*)slot.Gradient;
        var values = shard.ComputeRestsOnHost
            ? TensorAddress.Of(shard.Compute) + (nint)(from * (half ? 2 : 4))
            : slot.Values;
        var threads = Math.Max(1, (int)Math.Min(Environment.ProcessorCount, count / 65536));
        // A multiple of 16 keeps every thread except the last on whole vectors.
        var share = ((count + threads - 1) / threads + 15) / 16 * 16;
        Parallel.For(
            0,
            threads,
            thread =>
            {
                var begin = thread * share;
                var length = Math.Min(share, count - begin);
                if (length > 0)
                {
                    Run(
                        master + begin,
                        first + begin,
                        second + begin,
                        gradients + begin,
                        values + (nint)(begin * (half ? 2 : 4)),
                        half,
                        length,
                        scale,
                        settings
                    );
                }
            }
        );
        Busy += Stopwatch.GetElapsedTime(started);
        if (shard.ComputeRestsOnHost)
        {
            return;
        }

        using var target = shard.Compute.narrow(0, from, count);
        slot.Going = copies.ToDevice(slot.Values, target);
    }

    private static unsafe float* Pointer(Tensor tensor, long from) => (float*)TensorAddress.Of(tensor) + from;

    private static unsafe void Run(
        float* master,
        float* first,
        float* second,
        float* gradient,
        nint values,
        bool half,
        long count,
        float scale,
        in AdamWStep settings
    )
    {
        var (beta1, beta2, epsilon) = ((float)settings.Beta1, (float)settings.Beta2, (float)settings.Epsilon);
        var (rest1, rest2) = ((float)(1 - settings.Beta1), (float)(1 - settings.Beta2));
        var (shrink, rate, inverse) = (
            (float)settings.Factors.Shrink,
            (float)settings.Factors.Rate,
            (float)settings.Factors.InverseCorrection2
        );
        long i = 0;
        for (; i + 16 <= count; i += 16)
        {
            var low = Next(i);
            var high = Next(i + 8);
            if (half)
            {
                Vector256.Store(Vector256.Narrow(Rounded(low), Rounded(high)), (ushort*)values + i);
            }
            else
            {
                Vector256.Store(low, (float*)values + i);
                Vector256.Store(high, (float*)values + i + 8);
            }
        }

        for (; i < count; i++)
        {
            var g = gradient[i] * scale;
            var m = first[i] = (beta1 * first[i]) + (rest1 * g);
            var v = second[i] = (beta2 * second[i]) + (rest2 * g * g);
            var w = master[i] = (master[i] * shrink) - (rate * m / (MathF.Sqrt(v * inverse) + epsilon));
            if (half)
            {
                ((ushort*)values)[i] = (ushort)Rounded(Vector256.Create(w)).ToScalar();
            }
            else
            {
                ((float*)values)[i] = w;
            }
        }

        Vector256<float> Next(long at)
        {
            var g = Vector256.Load(gradient + at) * scale;
            var m = (Vector256.Load(first + at) * beta1) + (g * rest1);
            var v = (Vector256.Load(second + at) * beta2) + (g * rest2 * g);
            var w =
                (Vector256.Load(master + at) * shrink)
                - (m * rate / (Vector256.Sqrt(v * inverse) + Vector256.Create(epsilon)));
            Vector256.Store(m, first + at);
            Vector256.Store(v, second + at);
            Vector256.Store(w, master + at);
            return w;
        }
    }

    // The upper 16 bits, rounded to nearest, ties to even. A NaN stays a NaN, because arithmetic results have the top
    // bit of the mantissa set.
    private static Vector256<uint> Rounded(Vector256<float> values)
    {
        var bits = values.AsUInt32();
        return (bits + Vector256.Create(0x7FFFu) + ((bits >>> 16) & Vector256<uint>.One)) >>> 16;
    }

    private void UpdatePlainly(FlatShard shard, double gradientScale, in AdamWStep settings)
    {
        using var scope = NewDisposeScope();
        plain.AdamW(
            shard.Master,
            shard.Gradient.cpu(),
            shard.Moments.First,
            shard.Moments.Second,
            tensor(gradientScale, shard.Type),
            settings
        );
        shard.Compute!.copy_(shard.Master);
        shard.Gradient.zero_();
    }

    // A part of a shard whose gradient is being copied.
    private sealed record Piece(
        FlatShard Shard,
        long From,
        long Count,
        float Scale,
        AdamWStep Settings,
        Slot Slot,
        HostCopies.Copy Copy
    );

    // A gradient being copied to the host, and values being copied back.
    private sealed class Slot : IDisposable
    {
        private readonly PinnedMemory? locked;
        private readonly nint plain;

        public unsafe Slot(Device device, bool pinned, long elements)
        {
            var bytes = elements * 8;
            locked = pinned ? new PinnedMemory(device, bytes) : null;
            plain = locked is null ? (nint)NativeMemory.AlignedAlloc((nuint)bytes, 64) : 0;
            Gradient = locked?.Address ?? plain;
            Values = Gradient + (nint)(elements * 4);
        }

        public nint Gradient { get; }

        public nint Values { get; }

        public HostCopies.Copy? Going { get; set; }

        // Copied values are on the device before the buffer is reused, and before later work on the compute stream.
        public void Settle()
        {
            Going?.Wait();
            Going = null;
        }

        public unsafe void Dispose()
        {
            locked?.Dispose();
            NativeMemory.AlignedFree((void*)plain);
        }
    }
}
