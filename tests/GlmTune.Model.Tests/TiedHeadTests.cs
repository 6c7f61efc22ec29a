using System.Runtime.InteropServices;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>A model whose embedding and head are one weight.</summary>
public class TiedHeadTests
{
    private static readonly string Folder = GoldenData.Path("edge-tiny/model-hf");

    static TiedHeadTests() => NativeRuntime.Load();

    [Fact]
    public void The_table_is_one_parameter_that_is_counted_written_and_freed_once()
    {
        using var scope = NewDisposeScope();
        using var model = Load();
        Assert.Same(model.Embedding.Weight, model.Head.Projection.Weight);
        Assert.Single(model.Units.SelectMany(unit => unit.Parameters), model.Embedding.Weight);
        Assert.Equal(model.Config.ParameterCount, model.Parameters.Sum(parameter => parameter.Count));
        using var folder = new TemporaryFolder();
        ModelFolder.Save(model, folder.Path, CheckpointLayout.Library, ScalarType.Float32);
        using var files = WeightFiles.Open(folder.Path);
        Assert.Null(files.Find("lm_head.weight"));
        using var reference = WeightFiles.Open(Folder);
        Assert.Equal(
            reference.Tensors.Select(tensor => tensor.Name).Order(),
            files.Tensors.Select(tensor => tensor.Name).Order()
        );
    }

    [Fact]
    public void Over_several_devices_the_head_has_a_copy()
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Folder, ScalarType.Float32, _ => new DevicePlan((CPU, 1), (CPU, 2)));
        GoldenModel.CheckLogits(model, GoldenData.Path("edge-tiny"), "base");
    }

    [Fact]
    public void A_file_that_stores_the_head_too_is_read_as_the_library_reads_it()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        File.Copy(Path.Combine(Folder, ModelConfig.FileName), Path.Combine(folder.Path, ModelConfig.FileName));
        using (var stored = WeightFiles.Open(Folder))
        {
            List<(string Name, Tensor Value)> all =
            [
                .. stored.Tensors.Select(tensor => (tensor.Name, stored.Get(tensor.Name))),
                ("lm_head.weight", zeros(640, 64)),
            ];
            using var writer = new SafetensorsWriter(
                Path.Combine(folder.Path, "model.safetensors"),
                [.. all.Select(tensor => new TensorSpec(tensor.Name, ElementType.F32, tensor.Value.shape))]
            );
            foreach (var (name, value) in all)
            {
                writer.Write(name, MemoryMarshal.AsBytes<float>(value.data<float>().ToArray()));
            }

            writer.Complete();
        }

        using var model = ModelFolder.Load(folder.Path, ScalarType.Float32, CPU);
        GoldenModel.CheckLogits(model, GoldenData.Path("edge-tiny"), "base");
    }

    [Fact]
    public void It_does_not_move_to_the_host()
    {
        using var model = Load();
        var error = Assert.Throws<InvalidOperationException>(model.Embedding.MoveToHost);
        Assert.Contains("The output head uses", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Saved_modules_name_both_and_come_back_as_one()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load();
        var error = Assert.Throws<InvalidDataException>(() =>
            Lora.Attach(model, new LoraOptions { ModulesToSave = ["lm_head"] })
        );
        Assert.Contains("embed_tokens, lm_head", error.Message, StringComparison.Ordinal);

        using var lora = Lora.Attach(model, new LoraOptions { ModulesToSave = ["embed_tokens", "lm_head"] });
        lora.Initialize(1);
        Assert.Single(lora.Parameters, model.Embedding.Weight);
        model.Embedding.Weight.Value.MultiplyInPlace(2);
        var expected = Logits(model);
        lora.Save(folder.Path, "model-hf");
        using (var files = WeightFiles.OpenAdapter(folder.Path))
        {
            Assert.All(
                (string[])["model.embed_tokens.weight", "lm_head.weight"],
                name => Assert.NotNull(files.Find($"base_model.model.{name}"))
            );
        }

        using var fresh = Load();
        using var again = AdapterFolder.Load(folder.Path, fresh);
        TensorAssert.Close(expected, Logits(fresh), 0, "logits");
    }

    [Fact]
    public void An_adapter_on_the_head_is_not_merged_since_it_would_change_the_embedding()
    {
        using var model = Load();
        using var lora = Lora.Attach(model, new LoraOptions { TargetModules = LoraTargets.FromNames("lm_head") });
        lora.Initialize(1);
        var error = Assert.Throws<InvalidDataException>(() => lora.Merge(model));
        Assert.Contains("tie_word_embeddings", error.Message, StringComparison.Ordinal);
    }

    private static Tensor Logits(DecoderModel model) =>
        model.Logits([3, 14, 159, 265, 35], SequenceLayout.OfRows(1, 5, CPU));

    private static DecoderModel Load() => ModelFolder.Load(Folder, ScalarType.Float32, CPU);
}
