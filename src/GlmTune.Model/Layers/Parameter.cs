using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>A named weight: its shape, its values while they are in memory, and the gradient collected for
/// it.</summary>
/// <remarks>Layers read the values in the type that they compute in. With sharded weights, they are in memory only
/// between gather and release. Not thread-safe.</remarks>
internal sealed class Parameter : IDisposable
{
    private Tensor? value;
    private FrozenWeight? quantized;

    /// <param name="name">Unique in the model; base weights have the names of the original checkpoint layout.</param>
    /// <param name="shape">Sizes of its dimensions.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Device of the values.</param>
    /// <param name="decays">Whether weight decay applies: to matrices, but not to biases and norm weights.</param>
    public Parameter(string name, long[] shape, ScalarType type, Device device, bool decays) =>
        (Name, Shape, Type, Device, Decays) = (name, shape, type, device, decays);

    /// <summary>A weight matrix.</summary>
    /// <param name="name">Unique in the model.</param>
    /// <param name="rows">Number of output features.</param>
    /// <param name="columns">Number of input features.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Device of the values.</param>
    public static Parameter Matrix(string name, long rows, long columns, ScalarType type, Device device) =>
        new(name, [rows, columns], type, device, decays: true);

    /// <summary>A bias, or the weight of a norm.</summary>
    /// <param name="name">Unique in the model.</param>
    /// <param name="size">Number of features.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Device of the values.</param>
    public static Parameter Vector(string name, long size, ScalarType type, Device device) =>
        new(name, [size], type, device, decays: false);

    /// <summary>Unique name.</summary>
    public string Name { get; }

    /// <summary>Sizes of its dimensions.</summary>
    public long[] Shape { get; }

    /// <summary>Number of elements.</summary>
    public long Count => Shape.Aggregate(1L, (product, size) => product * size);

    /// <summary>Type that layers compute in.</summary>
    public ScalarType Type { get; }

    /// <summary>Device of the values.</summary>
    public Device Device { get; }

    /// <summary>Whether weight decay applies.</summary>
    public bool Decays { get; }

    /// <summary>Whether it is trained.</summary>
    public bool Trainable { get; set; }

    /// <summary>Whether its values are computed from other parameters: its gradient is collected for them, and no
    /// optimizer sees it.</summary>
    public bool Computed { get; init; }

    /// <summary>Version counter of its model, which counts changes of this parameter's memory; null: none.</summary>
    internal ModelVersion? Version { get; set; }

    /// <summary>Records that captured passes may no longer read this parameter's memory.</summary>
    internal void NoteChange() => Version?.Bump();

    /// <summary>Whether values are in memory.</summary>
    public bool IsLoaded => value is not null || quantized is not null;

    /// <summary>The values; setting them transfers ownership of the tensor to the parameter, and disposes the previous
    /// one.</summary>
    /// <exception cref="InvalidOperationException">No values are in memory.</exception>
    /// <exception cref="ArgumentException">Shape or type differ.</exception>
    public Tensor Value
    {
        get =>
            value
            ?? throw new InvalidOperationException(
                $"'{Name}' is {(quantized is null ? "not in memory" : "quantized")}."
            );
        set
        {
            if (!value.shape.SequenceEqual(Shape) || value.dtype != Type)
            {
                throw new ArgumentException(
                    $"'{Name}' is {Type} [{string.Join(", ", Shape)}], not {value.dtype} "
                        + $"[{string.Join(", ", value.shape)}].",
                    nameof(value)
                );
            }

            var previous = this.value;
            this.value = value.DetachFromDisposeScope();
            if (!ReferenceEquals(previous, value))
            {
                previous?.Dispose();
                NoteChange();
            }
        }
    }

    /// <summary>Bytes of the values on <see cref="Device"/>; 0 if they are elsewhere or not in memory.</summary>
    public long DeviceBytes =>
        quantized?.Matrix.Bytes
        ?? (value is { } there && there.device_type == Device.type ? there.numel() * there.ElementSize : 0);

    /// <summary>The values in few bits, in place of <see cref="Value"/>; null: not quantized.</summary>
    public FrozenWeight? Quantized => quantized;

    /// <summary>Whether the values are in fp8, so that what is multiplied by them is wanted in fp8 too.</summary>
    public bool IsFp8 => quantized is Fp8Weight;

    /// <summary>The values in the type that layers compute in, dequantized if they are quantized; not owned by the
    /// caller, and valid until two other weights have been dequantized.</summary>
    /// <exception cref="InvalidOperationException">No values are in memory.</exception>
    public Tensor Dense => quantized?.Dense ?? Value;

    /// <summary>Quantizes the values and releases them; for a matrix that is not trained.</summary>
    /// <param name="type">How to store them.</param>
    /// <param name="backward">Whether gradients are computed through them.</param>
    /// <param name="buffers">Where they are dequantized to.</param>
    /// <exception cref="InvalidOperationException">It is trained, or not in memory.</exception>
    public void Quantize(FrozenType type, bool backward, DenseWeights buffers)
    {
        if (Trainable)
        {
            throw new InvalidOperationException($"'{Name}' is trained, so it cannot be quantized.");
        }

        quantized = FrozenWeight.Of(Value, type, backward, buffers);
        value!.Dispose();
        value = null;
        NoteChange();
    }

    /// <summary>Sets values that were quantized before, in place of <see cref="Value"/>; for a matrix that is not
    /// trained.</summary>
    /// <param name="matrix">The values; owned by this object.</param>
    /// <param name="buffers">Where they are dequantized to.</param>
    /// <exception cref="ArgumentException">The shape differs.</exception>
    public void SetQuantized(FrozenMatrix matrix, DenseWeights buffers)
    {
        if (!Shape.SequenceEqual([matrix.Rows, matrix.Columns]))
        {
            throw new ArgumentException($"{this} cannot have {matrix.Rows} rows of {matrix.Columns}.", nameof(matrix));
        }

        Release();
        quantized = FrozenWeight.Of(matrix, Type, buffers);
        NoteChange();
    }

    /// <summary>Whether its gradient is always collected in <see cref="Type"/>: where float32 would take too much
    /// memory.</summary>
    public bool CollectsInOwnType { get; set; }

    /// <summary>The gradient collected since the last <see cref="ClearGradient"/>, in the type of its first
    /// contribution; null: none.</summary>
    public Tensor? Gradient { get; private set; }

    /// <summary>Adds to the gradient; the tensor then belongs to the parameter.</summary>
    public void AddGradient(Tensor gradient)
    {
        if (Gradient is null)
        {
            Gradient = gradient.DetachFromDisposeScope();
        }
        else
        {
            Gradient.AddInPlace(gradient);
            gradient.Dispose();
        }
    }

    /// <summary>Adds a · b to the gradient; where it is collected in its own type, without a tensor for the
    /// product.</summary>
    /// <param name="a">[rows, N], in the parameter's type.</param>
    /// <param name="b">[N, columns], in the parameter's type.</param>
    public void AddProduct(Tensor a, Tensor b)
    {
        if (CollectsInOwnType && Gradient is { } sum)
        {
            sum.addmm_(a, b);
        }
        else
        {
            AddGradient(a.mm(b));
        }
    }

    /// <summary>A gradient to add to in place: the gradient so far, or zeros; float32 (or wider), unless it is
    /// collected in its own type.</summary>
    public Tensor WideGradient()
    {
        var wide = CollectsInOwnType || Type == ScalarType.Float64 ? Type : ScalarType.Float32;
        if (Gradient is { } narrow && narrow.dtype != wide)
        {
            // A weight shared by two layers collects from both.
            Gradient = narrow.to_type(wide).DetachFromDisposeScope();
            narrow.Dispose();
        }

        return Gradient ??= zeros(Shape, wide, Device).DetachFromDisposeScope();
    }

    /// <summary>Discards the gradient.</summary>
    public void ClearGradient()
    {
        Gradient?.Dispose();
        Gradient = null;
    }

    /// <summary>Releases the values, in whatever type, as sharding does after a layer has run.</summary>
    public void Release()
    {
        value?.Dispose();
        value = null;
        quantized?.Dispose();
        quantized = null;
        NoteChange();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Release();
        ClearGradient();
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} [{string.Join(", ", Shape)}]";
}
