using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>y = x Wᵀ + b, with adapters on top.</summary>
/// <remarks>Not a unit of sharding; the parameters belong to its layer.</remarks>
internal sealed class Linear
{
    private readonly List<LinearAdapter> adapters = [];

    /// <param name="weight">[out, in].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="dropoutSite">Unique number in the model, which tells its dropout masks from others'.</param>
    public Linear(Parameter weight, Parameter? bias, int dropoutSite) =>
        (Weight, Bias, DropoutSite) = (weight, bias, dropoutSite);

    /// <summary>W [out, in].</summary>
    public Parameter Weight { get; }

    /// <summary>b [out], or null.</summary>
    public Parameter? Bias { get; }

    /// <summary>Unique number in the model: see <see cref="LayerContext.SeedOf(int)"/>.</summary>
    public int DropoutSite { get; }

    /// <summary>Number of input features.</summary>
    public long InputWidth => Weight.Shape[1];

    /// <summary>Number of output features.</summary>
    public long OutputWidth => Weight.Shape[0];

    /// <summary>The adapters, in order of attachment.</summary>
    public IReadOnlyList<LinearAdapter> Adapters => adapters;

    /// <summary>Weight, bias, and the adapters' parameters.</summary>
    public IEnumerable<Parameter> Parameters =>
        new[] { Weight, Bias }.OfType<Parameter>().Concat(adapters.SelectMany(adapter => adapter.Parameters));

    /// <summary>Whether the backward pass needs the values of the input.</summary>
    public bool NeedsInput => Weight.Trainable || adapters.Count > 0;

    /// <summary>Whether an adapter needs the values of the output's gradient.</summary>
    public bool NeedsGradient => Weight.Trainable || Bias is { Trainable: true } || adapters.Count > 0;

    /// <summary>Whether an adapter may change the output in a pass.</summary>
    public bool IsAdapted(LayerContext context) => adapters.Exists(adapter => adapter.AppliesTo(context));

    /// <summary>Attaches an adapter.</summary>
    public void Attach(LinearAdapter adapter)
    {
        adapters.Add(adapter);
        foreach (var parameter in adapter.Parameters)
        {
            parameter.Version = Weight.Version;
        }

        Weight.NoteChange();
    }

    /// <summary>Detaches those of the given adapters that are attached here; their parameters remain owned by the
    /// caller.</summary>
    public void Detach(IReadOnlyCollection<LinearAdapter> gone)
    {
        if (adapters.RemoveAll(gone.Contains) > 0)
        {
            Weight.NoteChange();
        }
    }

    /// <summary>The layer's output.</summary>
    /// <param name="input">[N, in]; with its values where <see cref="NeedsInput"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs; null: nothing is kept.</param>
    /// <param name="residual">Added to the output, [N, out]; only without a bias.</param>
    /// <returns>[N, out], in the caller's dispose scope.</returns>
    public Tensor Forward(LinearInput input, LayerContext context, Tape? tape, Tensor? residual = null)
    {
        using var scope = NewDisposeScope();
        var added = residual ?? Bias?.Value;
        var addLast = added is not null && adapters.Exists(adapter => adapter.ScalesOutput);
        var y = Product(input, addLast ? null : added, context);
        foreach (var adapter in adapters)
        {
            adapter.Forward(this, input.Values!, y, context, tape);
        }

        if (addLast)
        {
            y.AddInPlace(added!);
        }

        if (NeedsInput)
        {
            tape?.Save(input.Values!, input.Again);
        }

        return y.MoveToOuterDisposeScope();
    }

    /// <summary>Fills the tape like <see cref="Forward"/>, without computing the output.</summary>
    /// <param name="input">As for <see cref="Forward"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs.</param>
    public void Recompute(LinearInput input, LayerContext context, Tape tape)
    {
        if (adapters.Count > 0)
        {
            Forward(input, context, tape).Dispose();
        }
        else if (NeedsInput)
        {
            tape.Save(input.Values!, input.Again);
        }
    }

    /// <summary>Whether <see cref="Decode"/> can be used.</summary>
    public bool CanDecode => Weight.IsLoaded && adapters.TrueForAll(adapter => adapter.CanDecode);

    /// <summary>The layer's output in a pass over few rows that is not differentiated.</summary>
    /// <param name="x">[n, in].</param>
    /// <param name="context">The context of the pass.</param>
    /// <returns>[n, out], in the caller's dispose scope.</returns>
    public Tensor Decode(Tensor x, LayerContext context)
    {
        if (adapters is [var only] && only.BeginOutput(x, context) is { } begun)
        {
            AddProduct(begun, x, context.Kernels);
            only.EndOutput(begun, context);
            return begun;
        }

        var y = Weight.Quantized is { } quantized
            ? quantized.Decode(x, Bias?.Value, context.Kernels)
            : context.Kernels.Project(x, Weight.Value, Bias?.Value);
        foreach (var adapter in adapters)
        {
            adapter.Decode(x, y, context);
        }

        return y;
    }

    /// <summary>Computes parameter gradients and returns the gradient of the input.</summary>
    /// <param name="gradient">Of the output, [N, out]; with its values where <see cref="NeedsGradient"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">What the forward pass saved.</param>
    /// <param name="inputGradient">Whether the input's gradient is needed.</param>
    /// <returns>[N, in], in the caller's dispose scope; null if not needed.</returns>
    public Tensor? Backward(LinearInput gradient, LayerContext context, Tape tape, bool inputGradient = true)
    {
        using var scope = NewDisposeScope();
        using var x = NeedsInput ? tape.TakeTensor() : null;
        if (Weight.Trainable)
        {
            Weight.AddProduct(gradient.Values!.t(), x!);
        }

        if (Bias is { Trainable: true })
        {
            using var sum = gradient.Values!.sum(0, type: Wide(gradient.Values.dtype));
            Bias.WideGradient().AddInPlace(sum);
        }

        var result =
            !inputGradient ? null
            : Weight.Quantized is { } quantized ? quantized.ProductBackward(gradient, context)
            : gradient.Values!.mm(Weight.Value);
        for (var i = adapters.Count - 1; i >= 0; i--)
        {
            adapters[i].Backward(this, gradient.Values!, x!, result, context, tape);
        }

        return result?.MoveToOuterDisposeScope();
    }

    private void AddProduct(Tensor y, Tensor x, LayerKernels kernels)
    {
        if (Weight.Quantized is { } quantized)
        {
            using var product = quantized.Decode(x, null, kernels);
            y.AddInPlace(product);
        }
        else
        {
            kernels.AddProduct(y, x, Weight.Value);
        }
    }

    private Tensor Product(LinearInput input, Tensor? added, LayerContext context)
    {
        if (Weight.Quantized is { } quantized)
        {
            return quantized.Product(input, added, context);
        }

        var transposed = Weight.Value.t();
        return added is null ? input.Values!.mm(transposed) : addmm(added, input.Values!, transposed, 1, 1);
    }

    private static ScalarType Wide(ScalarType type) => type == ScalarType.Float64 ? type : ScalarType.Float32;
}
