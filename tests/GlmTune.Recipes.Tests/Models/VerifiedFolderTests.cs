using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>Folders that this program wrote are verified wherever they are loaded.</summary>
public sealed class VerifiedFolderTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4 }";
    private readonly TinyRun tiny = new();
    private readonly string folder;

    public VerifiedFolderTests()
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.save_steps=2"));
        folder = tiny.At("run", "checkpoint-4");
    }

    public void Dispose() => tiny.Dispose();

    public static TheoryData<string, string> Damages =>
        new MatrixTheoryData<string, string>(
            ["adapter_model.safetensors", "tokenizer.model"],
            ["bit", "cut", "deleted", "empty"]
        );

    [Theory, MemberData(nameof(Damages))]
    public void A_damaged_file_is_named_before_anything_is_answered(string name, string damage)
    {
        Damage(name, damage);
        var path = new TunedPath(tiny.Model, folder);
        var error = Assert.Throws<InvalidDataException>(() => Load(path).Dispose());
        Assert.StartsWith($"{folder}: is damaged: '{name}' ", error.Message, StringComparison.Ordinal);
        Assert.Contains("glmtune checkpoint verify --accept", error.Message, StringComparison.Ordinal);
        using var plain = Load(new TunedPath(tiny.Model, null));
        Assert.Throws<InvalidDataException>(() => plain.Serve([new("ads", folder)]));
        if (damage != "bit")
        {
            // Sizes and names are checked wherever the folder is looked at.
            Assert.Throws<InvalidDataException>(() => TunedModel.Check(path));
            Assert.Contains(
                ModelInfo.Read(path).Problems,
                problem => problem.Contains($"'{name}' ", StringComparison.Ordinal)
            );
        }

        Assert.Throws<InvalidDataException>(() => MergeAdapter.Run(path, tiny.At("merged"), null, null, CPU));
        Assert.False(Directory.Exists(tiny.At("merged")));
    }

    [Fact]
    public void A_merged_model_is_verified_too()
    {
        MergeAdapter.Run(new TunedPath(tiny.Model, folder), tiny.At("merged"), null, null, CPU);
        Load(new TunedPath(tiny.At("merged"), null)).Dispose();
        FlipBit(tiny.At("merged", "model.safetensors"));
        var error = Assert.Throws<InvalidDataException>(() => Load(new TunedPath(tiny.At("merged"), null)).Dispose());
        Assert.Contains("'model.safetensors' has changed", error.Message, StringComparison.Ordinal);
        var run = Assert.Throws<InvalidDataException>(() =>
            FineTuneOn(tiny.At("merged"), tiny.Recipe("next", null, Lora))
        );
        Assert.Contains("'model.safetensors' has changed", run.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_edited_configuration_and_a_missing_optimizer_are_notes()
    {
        File.AppendAllText(Path.Combine(folder, "adapter_config.json"), "\n");
        File.Delete(Directory.GetFiles(folder, "optimizer-*").Single());
        List<string> notes = [];
        TunedModel.Load(new TunedPath(tiny.Model, folder), ScalarType.Float32, CPU, notes.Add).Dispose();
        var note = Assert.Single(notes);
        Assert.Contains("'adapter_config.json' has been edited; 'optimizer-", note, StringComparison.Ordinal);
    }

    [Fact]
    public void A_checkpoint_of_ours_without_its_manifest_is_incomplete_and_an_older_whole_one_is_used()
    {
        File.Delete(Path.Combine(folder, FolderManifest.FileName));
        Assert.Contains(
            "has training_state.json but no manifest.json",
            Assert.Throws<InvalidDataException>(() => Load(new TunedPath(tiny.Model, folder)).Dispose()).Message,
            StringComparison.Ordinal
        );
        var longer = tiny.Recipe("run", null, Lora, "training_args.max_steps=5");
        foreach (var named in new[] { "4", folder })
        {
            Assert.Contains(
                "has training_state.json but no manifest.json",
                Assert.Throws<InvalidDataException>(() => tiny.Train(longer, resume: named)).Message,
                StringComparison.Ordinal
            );
        }

        var report = tiny.Train(longer, resume: "yes");
        Assert.Equal(2, report.Start!.DoneSteps);
        Assert.Contains(report.Notes, note => note.Contains("resuming from", StringComparison.Ordinal));
    }

    [Fact]
    public void A_manifest_of_other_software_is_not_taken_for_ours()
    {
        File.WriteAllText(Path.Combine(tiny.Model, FolderManifest.FileName), """{"files": ["model.safetensors"]}""");
        Load(new TunedPath(tiny.Model, null)).Dispose();
    }

    [Fact]
    public void Verify_names_what_is_wrong_in_each_checkpoint_and_accept_makes_it_intact()
    {
        var results = VerifyCheckpoint.Run(tiny.At("run"));
        Assert.Equal(
            [2L, 4],
            results.Select(result => CheckpointFolder.StepOf(Path.GetFileName(result.Folder))!.Value)
        );
        Assert.All(results, result => Assert.Equal($"{result.Folder}: intact", result.Describe()));

        FlipBit(Path.Combine(folder, "adapter_model.safetensors"));
        File.Delete(Path.Combine(folder, "tokenizer.model"));
        Assert.Equal(
            $"{folder}: damaged\n  'adapter_model.safetensors' has changed since it was written (its hash differs)\n"
                + "  'tokenizer.model' is missing",
            Assert.Single(VerifyCheckpoint.Run(folder)).Describe()
        );
        Assert.Equal(
            $"{folder}: intact\n  note: accepted: 'adapter_model.safetensors' has changed since it was "
                + "written (its hash differs)\n  note: accepted: 'tokenizer.model' is missing",
            VerifyCheckpoint.Accept(folder).Describe()
        );
        Assert.Empty(Assert.Single(VerifyCheckpoint.Run(folder)).Problems);
        Load(new TunedPath(tiny.Model, folder)).Dispose();
        Assert.Throws<InvalidDataException>(() => VerifyCheckpoint.Run(tiny.At("nowhere")));
        Assert.Throws<InvalidDataException>(() => VerifyCheckpoint.Run(tiny.Model));
        Assert.Throws<InvalidDataException>(() => VerifyCheckpoint.Accept(tiny.At("run")));
    }

    private static TunedModel Load(TunedPath path) => TunedModel.Load(path, ScalarType.Float32, CPU);

    private static void FineTuneOn(string model, Recipe recipe) =>
        GlmTune.Recipes.Training.FineTune.Run(recipe, TinyRun.Data, model, null, new RunReport().Of(0, null), default);

    private void Damage(string name, string damage)
    {
        var path = Path.Combine(folder, name);
        switch (damage)
        {
            case "bit":
                FlipBit(path);
                break;
            case "cut":
                using (var file = File.OpenWrite(path))
                {
                    file.SetLength(file.Length * 9 / 10);
                }

                break;
            case "empty":
                File.WriteAllBytes(path, []);
                break;
            default:
                File.Delete(path);
                break;
        }
    }

    private static void FlipBit(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = file.Length - 7;
        var value = file.ReadByte();
        file.Position = file.Length - 7;
        file.WriteByte((byte)(value ^ 4));
    }
}
