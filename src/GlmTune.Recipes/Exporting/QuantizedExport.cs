using System.Runtime.InteropServices;
using GlmTune.Files;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Weights;
using GlmTune.Weights.CompressedTensors;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Exporting;

/// <summary>Writes a model, with its adapter merged if it has one, as a folder of quantized safetensors in the format
/// of compressed-tensors, which vLLM and transformers read.</summary>
/// <remarks>The weights of the decoder layers' linear layers are quantized; embedding, norms, biases and output head
/// keep their type. Weights are read, merged, quantized and written a few rows at a time.</remarks>
internal sealed class QuantizedExport : IDisposable
{
    private readonly TunedPath path;
    private readonly ExportedQuantization type;
    private readonly CheckpointLayout layout;
    private readonly MergedWeights weights;
    private readonly ElementType stored;
    private readonly int groupSize;
    private readonly HashSet<string> quantized;

    private QuantizedExport(TunedPath path, ExportedQuantization type, CheckpointLayout layout)
    {
        (this.path, this.type, this.layout) = (path, type, layout);
        weights = new MergedWeights(path);
        try
        {
            var model = weights.Model;
            model.Config.RequireLayout(layout);
            stored = weights.Type is ElementType.BF16 or ElementType.F16 ? weights.Type : ElementType.F32;
            quantized =
            [
                .. model
                    .Names.Linears(model, layout)
                    .Where(linear => !linear.IsHead)
                    .Select(linear => $"{linear.Name}.weight"),
            ];
            groupSize = type == ExportedQuantization.Int4 ? GroupSizeFor(path.ModelFolder, model) : 0;
            Bytes = Slices().Sum(pair => pair.With.Sum(spec => spec.ByteCount));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Size of the weights that are written, in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Sentences for the user about what differs from the usual.</summary>
    public IReadOnlyList<string> Notes =>
        type == ExportedQuantization.Int4 && groupSize != Int4Groups.Sizes[0]
            ? [$"groups have {groupSize} values instead of {Int4Groups.Sizes[0]}, which do not divide every row"]
            : [];

    /// <summary>Plans a folder, after all checks that need no weights.</summary>
    /// <param name="path">The model, and its adapter if any.</param>
    /// <param name="type">How weights are quantized.</param>
    /// <param name="layout">Naming of the tensors; null: that of the transformers library.</param>
    /// <exception cref="InvalidDataException">The adapter cannot be merged, or the rows of a matrix have no whole
    /// groups.</exception>
    public static QuantizedExport Plan(TunedPath path, ExportedQuantization type, CheckpointLayout? layout) =>
        new(path, type, layout ?? CheckpointLayout.Library);

    /// <summary>Writes the folder; it appears complete, or not at all.</summary>
    /// <param name="folder">Target folder; must not exist.</param>
    /// <param name="progress">Called with the bytes written so far and in all.</param>
    /// <exception cref="InvalidDataException">Weights are not finite, or a merged weight is not the expected
    /// sum.</exception>
    public void Write(string folder, Action<long, long>? progress = null)
    {
        var config = weights.Model.Config;
        using var target = AtomicFolder.Create(folder);
        var slices = Slices();
        using (var writer = new ShardedWriter(target.Path, slices.SelectMany(pair => pair.With)))
        {
            var done = 0L;
            weights.Read(
                slices,
                (slice, specs, rows) =>
                {
                    foreach (var (spec, bytes) in Encode(slice, specs, rows))
                    {
                        writer.Write(spec.Name, bytes);
                        progress?.Invoke(done += bytes.Length, Bytes);
                    }
                }
            );
            foreach (var (slice, specs) in slices.Where(pair => pair.With is [_, _, _]))
            {
                writer.Write(specs[2].Name, MemoryMarshal.AsBytes<long>(slice.Shape));
            }

            writer.Complete();
        }

        ModelFolder.WriteConfig(
            config,
            target.Path,
            layout,
            StoredTensors.TypeOf(stored)!.Value,
            CompressedTensorsConfig.Of(type, groupSize, HeadName)
        );
        ModelCompanions.Copy(path.ModelFolder, target.Path, layout, layout == config.Layout);
        target.Publish();
    }

    /// <summary>Unloads the adapter, and closes the model's files.</summary>
    public void Dispose() => weights.Dispose();

    private string HeadName => weights.Model.Names.Linears(weights.Model, layout).Single(linear => linear.IsHead).Name;

    private static int GroupSizeFor(string folder, DecoderModel model)
    {
        var widths = model.QuantizableWeights.Select(weight => weight.Shape[1]).Distinct().ToList();
        var size = Int4Groups.Sizes.FirstOrDefault(size => widths.TrueForAll(width => width % size == 0));
        return size > 0
            ? size
            : throw new InvalidDataException(
                $"{folder}: int4 needs rows that divide into groups of {string.Join(", ", Int4Groups.Sizes)} values, "
                    + $"but these have {string.Join(", ", widths)}. Use 'glmtune export fp8'."
            );
    }

    // Every weight with the tensors that it becomes: itself, or codes and scales, and the shape if they are packed.
    private List<(WeightSlice Slice, TensorSpec[] With)> Slices()
    {
        var model = weights.Model;
        return [.. model.Names.Weights(model, layout).Select(slice => (slice, Tensors(slice.Name, slice.Shape)))];
    }

    private TensorSpec[] Tensors(string name, long[] shape) =>
        !quantized.Contains(name) ? [new TensorSpec(name, stored, shape)]
        : type == ExportedQuantization.Fp8
            ? [new TensorSpec(name, ElementType.F8_E4M3, shape), new TensorSpec($"{name}_scale", stored, shape[0], 1)]
        :
        [
            new TensorSpec($"{name}_packed", ElementType.I32, shape[0], shape[1] / Int4Groups.PerWord),
            new TensorSpec($"{name}_scale", stored, shape[0], shape[1] / groupSize),
            new TensorSpec($"{name}_shape", ElementType.I64, 2),
        ];

    private IEnumerable<(TensorSpec Spec, byte[] Bytes)> Encode(WeightSlice slice, TensorSpec[] specs, Tensor rows)
    {
        MergedWeights.CheckRange(
            slice.Name,
            rows,
            specs.Length == 1 && stored == ElementType.F16 ? (float)Half.MaxValue : float.MaxValue,
            $"{stored}",
            "Merge the adapter with --dtype bfloat16 first."
        );
        return specs.Length switch
        {
            1 => [(specs[0], BytesOf(rows, StoredTensors.TypeOf(stored)!.Value))],
            2 => EncodeFp8(specs, rows),
            _ => EncodeInt4(specs, rows),
        };
    }

    private IEnumerable<(TensorSpec Spec, byte[] Bytes)> EncodeFp8(TensorSpec[] specs, Tensor rows)
    {
        using var scope = NewDisposeScope();
        var largest = rows.abs().amax([1]).cpu();
        var scales = Array.ConvertAll(
            largest.data<float>().ToArray(),
            row => StoredScale.Round((float)(row / Fp8.Largest), stored)
        );
        var scaled = (rows / tensor(scales).unsqueeze(1)).ClampInPlace(-Fp8.Largest, Fp8.Largest);
        return [(specs[0], BytesOf(scaled, Fp8.E4M3)), (specs[1], StoredScale.Bytes(scales, stored))];
    }

    private IEnumerable<(TensorSpec Spec, byte[] Bytes)> EncodeInt4(TensorSpec[] specs, Tensor rows)
    {
        var (count, width) = ((int)rows.shape[0], (int)rows.shape[1]);
        var words = new uint[count * (width / Int4Groups.PerWord)];
        var scales = new float[count * (width / groupSize)];
        Int4Groups.Encode(TensorAddress.Of(rows), count, width, groupSize, stored, words, scales);
        return
        [
            (specs[0], MemoryMarshal.AsBytes<uint>(words).ToArray()),
            (specs[1], StoredScale.Bytes(scales, stored)),
        ];
    }

    private static byte[] BytesOf(Tensor values, ScalarType type)
    {
        byte[]? bytes = null;
        StoredTensors.WithBytes(
            values,
            type,
            (address, count) =>
            {
                bytes = new byte[count];
                Marshal.Copy(address, bytes, 0, bytes.Length);
            }
        );
        return bytes!;
    }
}

/// <summary>How <see cref="QuantizedExport"/> stores weights.</summary>
internal enum ExportedQuantization
{
    /// <summary>e4m3 with a scale for each row; activations are quantized token by token.</summary>
    Fp8,

    /// <summary>4-bit integers with a scale for each group of a row; activations are not quantized.</summary>
    Int4,
}
