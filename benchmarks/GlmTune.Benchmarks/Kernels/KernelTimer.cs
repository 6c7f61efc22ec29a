using GlmTune.Kernels.Cuda;
using static TorchSharp.torch;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>Times work on the GPU by events, behind a long product, so that the CPU's queueing does not show.</summary>
internal sealed unsafe class KernelTimer : IDisposable
{
    private const int Samples = 5;

    private readonly Tensor left;
    private readonly Tensor right;
    private readonly Tensor product;
    private readonly nint begin;
    private readonly nint end;
    private readonly nint stream;

    public KernelTimer(Device device)
    {
        left = randn(8192, 8192, ScalarType.BFloat16, device);
        right = randn(8192, 8192, ScalarType.BFloat16, device);
        product = empty(8192, 8192, ScalarType.BFloat16, device);
        nint first,
            second;
        CudaDriver.Check(CudaDriver.EventCreate(&first, 0), "create an event");
        CudaDriver.Check(CudaDriver.EventCreate(&second, 0), "create an event");
        (begin, end) = (first, second);
        stream = CudaStream.Current(Math.Max(0, device.index));
    }

    /// <summary>Microseconds of one call: median over samples of a batch's mean.</summary>
    /// <param name="calls">Calls a sample.</param>
    /// <param name="work">Gets the call's number, to take turns among inputs that together exceed the caches.</param>
    public double Microseconds(int calls, Action<int> work)
    {
        using var scope = NewDisposeScope();
        work(0);
        var times = new List<double>();
        for (var sample = 0; sample < Samples; sample++)
        {
            for (var delay = 0; delay < 2; delay++)
            {
                Queue(left, right, product);
            }

            CudaDriver.Check(CudaDriver.EventRecord(begin, stream), "record an event");
            for (var call = 0; call < calls; call++)
            {
                using var inner = NewDisposeScope();
                work(call);
            }

            CudaDriver.Check(CudaDriver.EventRecord(end, stream), "record an event");
            CudaDriver.Check(CudaDriver.EventSynchronize(end), "wait for an event");
            float milliseconds;
            CudaDriver.Check(CudaDriver.EventElapsedTime(&milliseconds, begin, end), "read the time");
            times.Add(1000.0 * milliseconds / calls);
        }

        times.Sort();
        return times[Samples / 2];
    }

    /// <summary>The timer's own product, for the rate of matrix work: 2 · 8192³ operations.</summary>
    public void Multiply() => Queue(left, right, product);

    public void Dispose()
    {
        _ = CudaDriver.EventDestroy(begin);
        _ = CudaDriver.EventDestroy(end);
        left.Dispose();
        right.Dispose();
        product.Dispose();
    }

    private static void Queue(Tensor left, Tensor right, Tensor product) =>
        MatrixProduct.CallInPlace(left, right, product);

    private static readonly GlmTune.Kernels.Dispatch.AtenOperator MatrixProduct = new(
        "aten::mm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)"
    );
}
