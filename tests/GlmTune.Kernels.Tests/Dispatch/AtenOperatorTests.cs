using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Dispatch;

public class AtenOperatorTests
{
    private static readonly AtenOperator Silu = new("aten::silu(Tensor self) -> Tensor");

    public AtenOperatorTests() => NativeRuntime.Load();

    [Fact]
    public void An_operator_equals_its_TorchSharp_wrapper_and_leaves_its_argument_usable()
    {
        using var scope = NewDisposeScope();
        var x = randn(3, 5);
        var before = x.clone();
        Assert.True(Silu.Call(x).Equals(nn.functional.silu(x)));
        Assert.True(x.Equals(before));
    }

    [Fact]
    public void A_result_belongs_to_the_callers_dispose_scope()
    {
        Tensor result;
        using (NewDisposeScope())
        {
            result = Silu.Call(ones(2));
        }

        Assert.True(result.IsInvalid);
    }

    [Fact]
    public void Calls_keep_no_memory()
    {
        using var scope = NewDisposeScope();
        var multiply = new AtenOperator("aten::_foreach_mul.List(Tensor[] self, Tensor[] other) -> Tensor[]");
        var before = Environment.WorkingSet;
        for (var i = 0; i < 40; i++)
        {
            using var inner = NewDisposeScope();
            var x = ones(8 << 20);
            _ = multiply.CallMany(new Tensor[] { Silu.Call(x) }, new Tensor[] { x });
        }

        Assert.InRange(Environment.WorkingSet - before, long.MinValue, 512L << 20);
    }

    [Fact]
    public void Autograd_differentiates_through_a_call()
    {
        using var scope = NewDisposeScope();
        var x = randn(7).requires_grad_();
        Silu.Call(x).sum().backward();
        var y = x.detach().requires_grad_();
        nn.functional.silu(y).sum().backward();
        Assert.True(x.grad!.Equals(y.grad!));
    }

    [Fact]
    public void Integers_booleans_and_lists_of_integers_arrive()
    {
        using var scope = NewDisposeScope();
        var sum = new AtenOperator(
            "aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"
        );
        var x = TensorCreation.Range(24, ScalarType.Float32).view(2, 3, 4);
        Assert.True(sum.Call(x, new long[] { 0, 2 }, true).Equals(x.sum([0L, 2L], keepdim: true)));
        Assert.True(sum.Call(x, new long[] { 1 }).Equals(x.sum(1)));
        var wide = sum.Call(x, Argument.None, false, ScalarType.Float64);
        Assert.Equal(ScalarType.Float64, wide.dtype);
        Assert.Equal(276.0, wide.item<double>());
    }

    [Fact]
    public void Floats_and_optional_floats_arrive_and_an_integer_may_stand_for_one()
    {
        using var scope = NewDisposeScope();
        var attention = new AtenOperator(
            "aten::scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float "
                + "dropout_p=0.0, "
                + "bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor"
        );
        var (query, key, value) = (randn(1, 4, 3, 8), randn(1, 2, 5, 8), randn(1, 2, 5, 8));
        var actual = attention.Call(query, key, value, Argument.None, 0, false, 1, true);
        var (keys, values) = (key.repeat_interleave(2, 1), value.repeat_interleave(2, 1));
        var expected = nn.functional.softmax(query[0].bmm(keys[0].transpose(-1, -2)), -1).bmm(values[0]);
        Assert.True(actual[0].allclose(expected, 1e-4, 1e-5));
    }

    [Fact]
    public void Text_arrives()
    {
        using var scope = NewDisposeScope();
        var gelu = new AtenOperator("aten::gelu(Tensor self, *, str approximate) -> Tensor");
        var x = randn(9);
        Assert.False(gelu.Call(x, "tanh").Equals(gelu.Call(x, "none")));
    }

    [Fact]
    public void Several_tensors_come_back_in_order()
    {
        using var scope = NewDisposeScope();
        var minMax = new AtenOperator(
            "aten::aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)"
        );
        var results = minMax.CallMany(tensor(new[] { 3f, -1f, 2f }));
        Assert.Equal([-1f, 3f], results.Select(result => result.item<float>()));
    }

    [Fact]
    public void Lists_of_tensors_go_in_and_come_out()
    {
        using var scope = NewDisposeScope();
        var add = new AtenOperator("aten::_foreach_mul.List(Tensor[] self, Tensor[] other) -> Tensor[]");
        Tensor[] left = [ones(2), TensorCreation.Full([3], 2f)];
        Tensor[] right = [TensorCreation.Full([2], 5f), TensorCreation.Full([3], 7f)];
        var results = add.CallMany(left, right);
        Assert.Equal([10f, 42f], results.Select(result => result.sum().item<float>()));
    }

    [Fact]
    public void An_operator_on_lists_in_place_returns_nothing()
    {
        using var scope = NewDisposeScope();
        var multiply = new AtenOperator("aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()");
        Tensor[] tensors = [ones(2), TensorCreation.Full([3], 2f)];
        multiply.CallInPlace(tensors, tensor(4f));
        Assert.Equal([8f, 24f], tensors.Select(result => result.sum().item<float>()));
    }

    [Fact]
    public void An_integer_comes_back()
    {
        using var scope = NewDisposeScope();
        var dense = new AtenOperator("aten::sym_size.int(Tensor self, int dim) -> SymInt");
        Assert.Equal(5, dense.CallInteger(ones(3, 5), 1));
    }

    [Fact]
    public void A_failure_carries_libtorchs_reason_and_the_shapes()
    {
        using var scope = NewDisposeScope();
        var multiply = new AtenOperator("aten::mm(Tensor self, Tensor mat2) -> Tensor");
        var error = Assert.Throws<AtenException>(() => multiply.Call(ones(2, 3), ones(2, 3)));
        Assert.Contains("aten::mm", error.Message, StringComparison.Ordinal);
        Assert.Contains("[2, 3]", error.Message, StringComparison.Ordinal);
        Assert.SkipUnless(OperatingSystem.IsLinux(), "libtorch's reason is read on Linux only.");
        Assert.Contains("cannot be multiplied", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Calls_that_fail_at_once_each_carry_their_own_reason()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "libtorch's reason is read on Linux only.");
        var multiply = new AtenOperator("aten::mm(Tensor self, Tensor mat2) -> Tensor");
        var missing = new AtenOperator("aten::no_such_operator(Tensor self) -> Tensor");
        (string Reason, Action Call)[] calls =
        [
            ("cannot be multiplied", () => multiply.Call(ones(2, 3), ones(2, 3))),
            ("Could not find schema", () => missing.Call(ones(1))),
        ];
        List<string>[] reasons =
        [
            [],
            [],
        ];
        Thread[] threads =
        [
            .. calls.Select(
                (call, place) =>
                    new Thread(() =>
                    {
                        using var scope = NewDisposeScope();
                        for (var i = 0; i < 50; i++)
                        {
                            reasons[place].Add(Record.Exception(call.Call)?.Message ?? "none");
                        }
                    })
            ),
        ];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.All(
            calls.Index(),
            call =>
                Assert.All(
                    reasons[call.Index],
                    reason => Assert.Contains(call.Item.Reason, reason, StringComparison.Ordinal)
                )
        );
    }

    [Fact]
    public void A_failed_operator_is_not_run_again()
    {
        using var scope = NewDisposeScope();
        // The second pair of tensors does not fit together; the first has been multiplied by then.
        var multiply = new AtenOperator("aten::_foreach_mul_.List(Tensor(a!)[] self, Tensor[] other) -> ()");
        Tensor[] products = [TensorCreation.Full([2], 3), ones(3)];
        Tensor[] factors = [TensorCreation.Full([2], 2), ones(4)];
        var error = Assert.Throws<AtenException>(() => multiply.CallInPlace(products, factors));
        Assert.Contains("aten::_foreach_mul_", error.Message, StringComparison.Ordinal);
        Assert.Equal([6f, 6f], products[0].data<float>().ToArray());
    }

    [Fact]
    public void An_operator_that_does_not_exist_is_an_error()
    {
        using var scope = NewDisposeScope();
        var missing = new AtenOperator("aten::no_such_operator(Tensor self) -> Tensor");
        Assert.Throws<AtenException>(() => missing.Call(ones(1)));
    }

    [Fact]
    public void Arguments_that_do_not_fit_the_schema_never_reach_libtorch()
    {
        using var scope = NewDisposeScope();
        var x = ones(2);
        Assert.Contains(
            "missing",
            Assert.Throws<ArgumentException>(() => Silu.Call()).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "takes 1",
            Assert.Throws<ArgumentException>(() => Silu.Call(x, x)).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "'self' is 3",
            Assert.Throws<ArgumentException>(() => Silu.Call(3)).Message,
            StringComparison.Ordinal
        );
        Assert.Throws<ArgumentException>(() => Silu.Call(Argument.None));
        Assert.Throws<ArgumentException>(() => Silu.CallInteger(x));
    }

    [Theory]
    [InlineData("aten::silu")]
    [InlineData("aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor")]
    [InlineData(
        "aten::_scaled_dot_product_flash_attention(Tensor query) -> (Tensor output, int max_q, Tensor seed, Tensor "
            + "mask)"
    )]
    public void Schemas_that_cannot_be_called_are_refused(string schema) =>
        Assert.Throws<ArgumentException>(() => new AtenOperator(schema));
}
