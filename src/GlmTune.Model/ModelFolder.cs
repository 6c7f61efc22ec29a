using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>A model on disk: <c>config.json</c> and safetensors in either layout.</summary>
internal static class ModelFolder
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Loads configuration and weights, reading each tensor directly to its destination.</summary>
    /// <param name="folder">The model folder.</param>
    /// <param name="type">Type to compute in; weights are converted on the way.</param>
    /// <param name="device">Device of the model.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    /// <param name="loaded">Called with each unit (embedding, decoder layer, head) when its weights are in memory; it
    /// may release them.</param>
    /// <param name="quantization">How the weights of the decoder layers' linear layers are stored; they are quantized
    /// one by one as they are read. Null: as the others.</param>
    /// <param name="keepQuantized">Whether weights that the files hold in few bits stay so; otherwise they are
    /// dequantized.</param>
    /// <exception cref="InvalidDataException">Configuration or weights are missing, unexpected or misshapen; the
    /// message lists all problems.</exception>
    public static DecoderModel Load(
        string folder,
        ScalarType type,
        Device device,
        bool plain = false,
        Action<Layer>? loaded = null,
        Quantization? quantization = null,
        bool keepQuantized = true
    ) =>
        Load(
            folder,
            type,
            config => new DevicePlan((device, config.LayerCount)),
            plain,
            loaded,
            quantization,
            keepQuantized
        );

    /// <summary>Loads configuration and weights, reading each tensor directly to its destination on the device of its
    /// layer.</summary>
    /// <param name="folder">The model folder.</param>
    /// <param name="type">Type to compute in; weights are converted on the way.</param>
    /// <param name="plan">Returns the device of each layer for an architecture.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    /// <param name="quantization">How the weights of the decoder layers' linear layers are stored; null: as the
    /// others.</param>
    /// <param name="keepQuantized">As for the other overload.</param>
    /// <exception cref="InvalidDataException">Configuration or weights are missing, unexpected or misshapen; the
    /// message lists all problems.</exception>
    public static DecoderModel Load(
        string folder,
        ScalarType type,
        Func<ModelConfig, DevicePlan> plan,
        bool plain = false,
        Quantization? quantization = null,
        bool keepQuantized = true
    ) => Load(folder, type, plan, plain, loaded: null, quantization, keepQuantized);

    private static DecoderModel Load(
        string folder,
        ScalarType type,
        Func<ModelConfig, DevicePlan> plan,
        bool plain,
        Action<Layer>? loaded,
        Quantization? quantization,
        bool keepQuantized
    )
    {
        var config = ModelConfig.Read(folder);
        using var files = WeightFiles.Open(folder);
        HeaderCheck.Check(config, files);
        if (quantization is { Type: var asked } && config.Stored is { } already)
        {
            throw new InvalidDataException(
                $"{folder}: the weights of this model are already quantized ({already.Name}), so they cannot be "
                    + $"quantized to {asked.ToString().ToLowerInvariant()} while loading. Leave that out."
            );
        }

        var model = config.NewModel(type, plan(config), plain);
        (WeightTransfer Transfer, List<(StoredTensor Stored, Tensor Target)> Moves)[] stages =
        [
            .. model.Plan.Devices.Select(place => (new WeightTransfer(place), new List<(StoredTensor, Tensor)>())),
        ];
        try
        {
            using var scope = NewDisposeScope();
            var slices = WeightMatch.Find(model, files).ToLookup(part => part.Slice.Parameter);
            var notFinite = new List<string>();
            foreach (var unit in model.Units)
            {
                var (transfer, moves) = stages[model.PipelineStageOf(unit)];
                foreach (var parameter in unit.Parameters)
                {
                    if (slices[parameter].Any(part => part.Quantized is not null))
                    {
                        LoadQuantized(model, unit, parameter, [.. slices[parameter]], keepQuantized, notFinite);
                        continue;
                    }

                    parameter.Value = empty(parameter.Shape, type, parameter.Device);
                    foreach (var (slice, whole, _) in slices[parameter])
                    {
                        var (stored, rows) = (whole!, parameter.Value.narrow(0, slice.FirstRow, slice.Rows));
                        if (WeightTransfer.Fits(stored, rows))
                        {
                            moves.Add((stored, rows));
                        }
                        else
                        {
                            StoredTensors.CopyTo(stored, rows);
                            rows.Dispose();
                        }
                    }

                    // One weight after the other, so that there is room for one that is not quantized yet.
                    if (quantization is { } wanted)
                    {
                        Arrive(transfer, moves, [parameter]);
                        model.Quantize(unit, parameter, wanted);
                    }
                }
                // A caller that handles each unit as it arrives may have no room for all; otherwise the readers run
                // without pause.
                if (loaded is not null)
                {
                    Arrive(transfer, moves, quantization is null ? unit.Parameters : []);
                    loaded(unit);
                }
            }

            foreach (var (transfer, moves) in stages)
            {
                transfer.Run(moves);
            }

            if (loaded is null && quantization is null)
            {
                notFinite.AddRange(
                    FiniteWeights.Find(model.Units.SelectMany(unit => unit.Parameters).Where(IsPlain), Parts)
                );
            }

            FiniteWeights.Throw(files.Path, notFinite);
            return model;

            void Arrive(
                WeightTransfer transfer,
                List<(StoredTensor Stored, Tensor Target)> moves,
                IEnumerable<Parameter> arrived
            )
            {
                transfer.Run(moves);
                moves.ForEach(move => move.Target.Dispose());
                moves.Clear();
                notFinite.AddRange(FiniteWeights.Find(arrived.Where(IsPlain), Parts));
            }

            // Others were checked when they were read.
            bool IsPlain(Parameter parameter) => slices[parameter].All(part => part.Plain is not null);

            IEnumerable<(StoredTensor, long, long)> Parts(Parameter parameter) =>
                slices[parameter].Select(part => (part.Plain!, part.Slice.FirstRow, part.Slice.Rows));
        }
        catch
        {
            model.Dispose();
            throw;
        }
        finally
        {
            Array.ForEach(stages, stage => stage.Transfer.Dispose());
        }
    }

    // Codes and scales are kept as they are, unless the weight is wanted whole.
    private static void LoadQuantized(
        DecoderModel model,
        Layer unit,
        Parameter parameter,
        List<StoredWeight> parts,
        bool keep,
        List<string> notFinite
    )
    {
        using var scope = NewDisposeScope();
        var matrix = StackedMatrix.Of([
            .. parts.Select(part => part.Quantized?.Load(parameter.Device, notFinite) ?? LoadPlain(part)),
        ]);
        if (!keep || !model.SetQuantized(unit, parameter, matrix))
        {
            parameter.Value = matrix.Dequantized(parameter.Type);
            matrix.Dispose();
        }

        FrozenMatrix LoadPlain(StoredWeight part)
        {
            var values = empty(part.Slice.Shape, parameter.Type, parameter.Device);
            StoredTensors.CopyTo(part.Plain!, values);
            if (FiniteWeights.Describe(part.Plain!, values) is { } problem)
            {
                notFinite.Add(problem);
            }

            return new UnquantizedMatrix(values.DetachFromDisposeScope());
        }
    }

    /// <summary>Checks a folder's configuration and the headers of its weights, without reading weights.</summary>
    /// <returns>The configuration.</returns>
    /// <exception cref="InvalidDataException">Files are missing, damaged, unsupported or inconsistent.</exception>
    public static ModelConfig Check(string folder)
    {
        var config = ModelConfig.Read(folder);
        using var files = WeightFiles.Open(folder);
        HeaderCheck.Check(config, files);
        return config;
    }

    /// <summary>Creates a folder's model without its weights, after the same checks as loading.</summary>
    /// <param name="folder">The model folder.</param>
    /// <returns>A model on the CPU whose weights are not in memory; the caller disposes it.</returns>
    /// <exception cref="InvalidDataException">What
    /// <see cref="Load(string, ScalarType, Device, bool, Action{Layer}?, Quantization?, bool)"/>
    /// would complain of.</exception>
    public static DecoderModel LayOut(string folder)
    {
        var config = ModelConfig.Read(folder);
        using var files = WeightFiles.Open(folder);
        HeaderCheck.Check(config, files);
        var model = config.NewModel(ScalarType.Float32, CPU);
        try
        {
            WeightMatch.Find(model, files);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Saves configuration and weights; the folder must exist.</summary>
    /// <param name="model">The model; adapters are not saved.</param>
    /// <param name="folder">Receives <c>config.json</c>, the weights and, if they are in parts, their index.</param>
    /// <param name="layout">Naming of the tensors.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="values">Returns a parameter's values, such as the optimizer's float32 copy; null: the model's own
    /// values.</param>
    /// <param name="maxPartBytes">Maximum bytes of tensors per file.</param>
    public static void Save(
        DecoderModel model,
        string folder,
        CheckpointLayout layout,
        ScalarType type,
        Func<Parameter, Tensor>? values = null,
        long maxPartBytes = ShardedWriter.DefaultPartBytes
    )
    {
        using var writer = new ModelWriter(model, folder, layout, type, maxPartBytes);
        foreach (var parameter in model.BaseParameters)
        {
            writer.Write(parameter, values?.Invoke(parameter) ?? parameter.Value);
        }

        writer.Complete();
    }

    /// <summary>Writes only <c>config.json</c>.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="folder">An existing folder.</param>
    /// <param name="layout">Form of the file.</param>
    /// <param name="type">Type of the weights.</param>
    /// <param name="quantization">Its <c>quantization_config</c>; null: none.</param>
    public static void WriteConfig(
        ModelConfig config,
        string folder,
        CheckpointLayout layout,
        ScalarType type,
        JsonObject? quantization = null
    )
    {
        var json = config.ToJson(
            layout,
            type switch
            {
                ScalarType.BFloat16 => "bfloat16",
                ScalarType.Float16 => "float16",
                _ => "float32",
            }
        );
        // That of the files that the configuration was read from does not describe these.
        json.Remove("quantization_config");
        if (quantization is not null)
        {
            json["quantization_config"] = quantization;
        }

        AtomicFile.WriteText(Path.Combine(folder, ModelConfig.FileName), json.ToJsonString(Indented) + "\n");
    }
}
