using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Operators that take a number, by themselves and while another thread collects garbage all the
/// time.</summary>
/// <remarks>
/// <see cref="TorchSharps_own_operators_fail_while_another_thread_collects"/> shows that the collections do find an
/// operator that lets go of its number. It reads freed memory, which may end the process, so it runs only when asked
/// for: <c>dotnet run -c Release --project tests/GlmTune.Kernels.Tests -- --explicit only
/// --filter-class "*TensorArithmeticTests"</c>.
/// </remarks>
public class TensorArithmeticTests
{
    // masked_fill copies its tensor before it reads the number: with many columns, a long time for it to vanish in.
    private const int Columns = 1 << 17;

    private static readonly double[] Values = [-3, -0.5, 0, 0.25, 2, 7];

    public TensorArithmeticTests() => NativeRuntime.Load();

    public static TheoryData<string> Operators => [.. Cases.Select(one => one.Name)];

    private static (string Name, Func<Tensor, Tensor> Run, Func<double, double> Expected)[] Cases =>
        [
            ("Add tensor", x => x.Add(x), x => x + x),
            ("Add number", x => x.Add(1.5), x => x + 1.5),
            ("AddInPlace tensor", x => x.clone().AddInPlace(x), x => x + x),
            ("AddInPlace scaled tensor", x => x.clone().AddInPlace(x, -0.75), x => x - (0.75 * x)),
            ("AddInPlace number", x => x.clone().AddInPlace(-2), x => x - 2),
            ("AddProductInPlace", x => x.clone().AddProductInPlace(x, x, 0.5), x => x + (0.5 * x * x)),
            ("AddQuotientInPlace", x => x.clone().AddQuotientInPlace(x, x.exp(), 2), x => x + (2 * x / Math.Exp(x))),
            ("Multiply", x => x.Multiply(-3), x => x * -3),
            ("MultiplyInPlace", x => x.clone().MultiplyInPlace(0.125), x => x * 0.125),
            ("Divide", x => x.Divide(8), x => x / 8),
            ("Remainder", x => x.Remainder(2), x => x - (2 * Math.Floor(x / 2))),
            ("Square", x => x.Square(), x => x * x),
            ("GreaterThan", x => x.GreaterThan(0.25), x => x > 0.25 ? 1 : 0),
            ("GreaterOrEqual", x => x.GreaterOrEqual(0.25), x => x >= 0.25 ? 1 : 0),
            ("ClampMin", x => x.ClampMin(-1), x => Math.Max(x, -1)),
            ("ClampMaxInPlace", x => x.clone().ClampMaxInPlace(1), x => Math.Min(x, 1)),
            ("ClampInPlace", x => x.clone().ClampInPlace(-1, 1), x => Math.Clamp(x, -1, 1)),
            ("FillInPlace", x => x.clone().FillInPlace(4.5), _ => 4.5),
            ("MaskedFill", x => InColumns(x, wide => wide.MaskedFill(wide < zeros(1), 9)), x => x < 0 ? 9 : x),
            ("MaskedFillInPlace", x => x.clone().MaskedFillInPlace(x < zeros(1), 9), x => x < 0 ? 9 : x),
            ("FullLike", x => x.FullLike(2.5), _ => 2.5),
            ("Full", x => TensorCreation.Full(x.shape, 2.5), _ => 2.5),
            ("Range", x => x.Add(TensorCreation.Range(3, 4).expand(x.shape)), x => x + 3),
            ("IndexAddInPlace", x => x.clone().IndexAddInPlace(0, TensorCreation.Range(x.shape[0]), x), x => x + x),
        ];

    [Theory]
    [MemberData(nameof(Operators))]
    public void Operators_are_right_while_another_thread_collects(string name)
    {
        var (_, run, expected) = Cases.Single(one => one.Name == name);
        var wanted = Values.Select(expected).ToArray();
        using var x = tensor(Values);
        using var collector = new Collector();
        for (var i = 0; i < 100 || collector.Collections < 20; i++)
        {
            using var scope = NewDisposeScope();
            var got = run(x).to(ScalarType.Float64);
            Assert.Equal(wanted, got.data<double>().ToArray(), (a, b) => Math.Abs(a - b) <= 1e-14 * Math.Abs(b));
        }
    }

    [Fact(Explicit = true)]
    public void TorchSharps_own_operators_fail_while_another_thread_collects()
    {
        using var x = tensor(Values);
        using var collector = new Collector();
        var failures = new List<string>();
        for (var i = 0; i < 100; i++)
        {
            using var scope = NewDisposeScope();
            try
            {
#pragma warning disable RS0030 // This is what fails.
                var got = InColumns(x, wide => wide.masked_fill(wide < zeros(1), 9));
#pragma warning restore RS0030
                if (got.ReadCpuDouble(0) != 9)
                {
                    failures.Add($"filled with {got.ReadCpuDouble(0)}");
                }
            }
            catch (Exception exception)
            {
                failures.Add(exception.Message.Split('\n')[0]);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{failures.Count} of 100 calls, {collector.Collections} collections: "
                + string.Join("; ", failures.GroupBy(words => words).Select(group => $"{group.Count()} × {group.Key}"))
        );
        Assert.NotEmpty(failures);
    }

    [Fact]
    public void A_number_keeps_its_kind()
    {
        using var scope = NewDisposeScope();
        var whole = TensorCreation.Range(3);
        Assert.Equal(ScalarType.Int64, whole.dtype);
        Assert.Equal(ScalarType.Int64, whole.Multiply(2).dtype);
        Assert.Equal(ScalarType.Int64, whole.Add(2L).dtype);
        Assert.Equal(ScalarType.Float32, whole.Multiply(2.0).dtype);
        Assert.Equal(ScalarType.Float32, whole.Divide(2).dtype);
        Assert.Equal(ScalarType.Bool, empty(2, ScalarType.Bool).FillInPlace(true).Multiply(true).dtype);
        Assert.Equal([0xFFFFFFFFL, 0x100000000L], TensorCreation.Range(2).Add(uint.MaxValue).data<long>().ToArray());
        Assert.Equal([long.MaxValue], TensorCreation.Range(1).Add(long.MaxValue).data<long>().ToArray());
    }

    // What run makes of many columns of x, of which the last is returned.
    private static Tensor InColumns(Tensor x, Func<Tensor, Tensor> run) =>
        run(x.unsqueeze(1).expand(x.shape[0], Columns)).select(1, Columns - 1).clone();

    /// <summary>Collects generation 0 and runs the finalizers, again and again, on a thread of its own.</summary>
    private sealed class Collector : IDisposable
    {
        private readonly Thread thread;
        private volatile bool stopped;
        private volatile int collections;

        public Collector()
        {
            thread = new Thread(() =>
            {
                while (!stopped)
                {
                    GC.Collect(0, GCCollectionMode.Forced, blocking: true);
                    GC.WaitForPendingFinalizers();
                    collections++;
                }
            });
            thread.Start();
        }

        public int Collections => collections;

        public void Dispose()
        {
            stopped = true;
            thread.Join();
        }
    }
}
