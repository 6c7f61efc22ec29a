using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>A model on disk: <c>config.json</c> and safetensors in either layout.</summary>
internal static class ModelFolder
{
    private const int ProblemsShown = 20;

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
    /// <exception cref="InvalidDataException">Configuration or weights are missing, unexpected or misshapen; the
    /// message lists all problems.</exception>
    public static DecoderModel Load(
        string folder,
        ScalarType type,
        Device device,
        bool plain = false,
        Action<Layer>? loaded = null,
        Quantization? quantization = null
    ) => Load(folder, type, config => new DevicePlan((device, config.LayerCount)), plain, loaded, quantization);

    /// <summary>Loads configuration and weights, reading each tensor directly to its destination on the device of its
    /// layer.</summary>
    /// <param name="folder">The model folder.</param>
    /// <param name="type">Type to compute in; weights are converted on the way.</param>
    /// <param name="plan">Returns the device of each layer for an architecture.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    /// <param name="quantization">How the weights of the decoder layers' linear layers are stored; null: as the
    /// others.</param>
    /// <exception cref="InvalidDataException">Configuration or weights are missing, unexpected or misshapen; the
    /// message lists all problems.</exception>
    public static DecoderModel Load(
        string folder,
        ScalarType type,
        Func<ModelConfig, DevicePlan> plan,
        bool plain = false,
        Quantization? quantization = null
    ) => Load(folder, type, plan, plain, loaded: null, quantization);

    private static DecoderModel Load(
        string folder,
        ScalarType type,
        Func<ModelConfig, DevicePlan> plan,
        bool plain,
        Action<Layer>? loaded,
        Quantization? quantization
    )
    {
        var config = ModelConfig.Read(folder);
        using var files = WeightFiles.Open(folder);
        HeaderCheck.Check(config, files);
        var model = config.NewModel(type, plan(config), plain);
        (WeightTransfer Transfer, List<(StoredTensor Stored, Tensor Target)> Moves)[] stages =
        [
            .. model.Plan.Devices.Select(place => (new WeightTransfer(place), new List<(StoredTensor, Tensor)>())),
        ];
        try
        {
            using var scope = NewDisposeScope();
            var slices = MatchWeights(model, files).ToLookup(pair => pair.Slice.Parameter);
            var notFinite = new List<string>();
            foreach (var unit in model.Units)
            {
                var (transfer, moves) = stages[model.PipelineStageOf(unit)];
                foreach (var parameter in unit.Parameters)
                {
                    parameter.Value = empty(parameter.Shape, type, parameter.Device);
                    foreach (var (slice, stored) in slices[parameter])
                    {
                        var rows = parameter.Value.narrow(0, slice.FirstRow, slice.Rows);
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
                notFinite.AddRange(FiniteWeights.Find(model.Units.SelectMany(unit => unit.Parameters), Parts));
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
                notFinite.AddRange(FiniteWeights.Find(arrived, Parts));
            }

            IEnumerable<(StoredTensor, long, long)> Parts(Parameter parameter) =>
                slices[parameter].Select(part => (part.Stored, part.Slice.FirstRow, part.Slice.Rows));
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
    /// <see cref="Load(string, ScalarType, Device, bool, Action{Layer}?, Quantization?)"/>
    /// would complain of.</exception>
    public static DecoderModel LayOut(string folder)
    {
        var config = ModelConfig.Read(folder);
        using var files = WeightFiles.Open(folder);
        HeaderCheck.Check(config, files);
        var model = config.NewModel(ScalarType.Float32, CPU);
        try
        {
            MatchWeights(model, files);
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
        if (quantization is not null)
        {
            json["quantization_config"] = quantization;
        }

        AtomicFile.WriteText(Path.Combine(folder, ModelConfig.FileName), json.ToJsonString(Indented) + "\n");
    }

    // For every parameter, the first known way of storing it that the files use; reports everything that does not
    // match.
    internal static List<(WeightSlice Slice, StoredTensor Stored)> MatchWeights(DecoderModel model, WeightFiles files)
    {
        var matched = new List<(WeightSlice, StoredTensor)>();
        var used = new HashSet<string>();
        var problems = new List<string>();
        foreach (var parameter in model.BaseParameters)
        {
            var ways = model.Names.KnownSlices(parameter).ToList();
            var way = ways.Find(slices => slices.Any(slice => files.Find(slice.Name) is not null)) ?? ways[0];
            foreach (var slice in way)
            {
                if (files.Find(slice.Name) is not { } stored)
                {
                    problems.Add($"'{slice.Name}' [{string.Join(", ", slice.Shape)}] is missing.");
                    continue;
                }

                used.Add(slice.Name);
                if (!stored.Shape.SequenceEqual(slice.Shape))
                {
                    problems.Add(
                        $"{Path.GetFileName(stored.File.Path)}: '{slice.Name}' is [{string.Join(", ", stored.Shape)}] "
                            + "in the file but "
                            + $"[{string.Join(", ", slice.Shape)}] in the model described by {ModelConfig.FileName}."
                    );
                    continue;
                }

                matched.Add((slice, stored));
            }
        }

        foreach (
            var stored in files.Tensors.Where(stored =>
                !used.Contains(stored.Name) && !model.Names.IsSpare(stored.Name)
            )
        )
        {
            problems.Add(
                $"{Path.GetFileName(stored.File.Path)}: '{stored.Name}' [{string.Join(", ", stored.Shape)}] belongs to "
                    + "no layer of the model."
            );
        }

        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{files.Path}: the weights do not match {ModelConfig.FileName} ({problems.Count} problems). Are both "
                    + "from the same model?\n  "
                    + string.Join("\n  ", problems.Take(ProblemsShown))
                    + (problems.Count > ProblemsShown ? $"\n  And {problems.Count - ProblemsShown} more." : "")
            );
        }

        return matched;
    }
}
