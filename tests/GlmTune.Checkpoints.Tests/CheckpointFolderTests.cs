using GlmTune.Files;

namespace GlmTune.Checkpoints.Tests;

public sealed class CheckpointFolderTests
{
    [Fact]
    public void Steps_are_those_of_folders_named_checkpoint_and_a_number_in_ascending_order()
    {
        using var output = new TemporaryFolder();
        foreach (var name in (string[])["checkpoint-20", "checkpoint-3", "checkpoint-best", "tmp-checkpoint-4", "runs"])
        {
            Directory.CreateDirectory(output.At(name));
        }

        output.Write("checkpoint-99", "a file");
        Assert.Equal([3, 20], CheckpointFolder.Steps(output.Path));
    }

    [Theory]
    [InlineData(null, "")]
    [InlineData("no", "")]
    [InlineData("yes", "checkpoint-20,checkpoint-3")]
    [InlineData("3", "checkpoint-3")]
    [InlineData("checkpoint-20", "checkpoint-20")]
    public void Resume_names_checkpoints(string? resume, string expected)
    {
        using var output = new TemporaryFolder();
        Directory.CreateDirectory(output.At("checkpoint-3"));
        Directory.CreateDirectory(output.At("checkpoint-20"));
        Assert.Equal(
            expected,
            string.Join(',', CheckpointFolder.Candidates(output.Path, resume).Select(Path.GetFileName))
        );
    }

    [Fact]
    public void Edited_settings_leave_a_checkpoint_whole_and_edited_weights_do_not()
    {
        using var output = new TemporaryFolder();
        var folder = output.At("checkpoint-4");
        foreach (
            var name in (string[])
                ["adapter_config.json", "adapter_model.safetensors", "trainer_state.json", "tokenizer.model"]
        )
        {
            output.Write($"checkpoint-4/{name}", "{}");
        }

        FolderManifest.Write(folder);
        output.Write("checkpoint-4/adapter_config.json", "{\"base_model_name_or_path\": \"elsewhere\"}");
        var found = CheckpointFolder.Compare(folder);
        Assert.Empty(found.Problems);
        Assert.Equal(["adapter_config.json"], found.Edited);

        foreach (var name in (string[])["adapter_model.safetensors", "trainer_state.json", "tokenizer.model"])
        {
            output.Write($"checkpoint-4/{name}", "{ }");
            Assert.StartsWith(
                $"'{name}' has ",
                Assert.Single(CheckpointFolder.Compare(folder).Problems),
                StringComparison.Ordinal
            );
            output.Write($"checkpoint-4/{name}", "{}");
        }

        output.Write("checkpoint-4/adapter_config.json", "{\"base_model_name_or");
        found = CheckpointFolder.Compare(folder);
        Assert.StartsWith("'adapter_config.json' has ", Assert.Single(found.Problems), StringComparison.Ordinal);
        Assert.Empty(found.Edited);

        File.Delete(Path.Combine(folder, "adapter_config.json"));
        found = CheckpointFolder.Compare(folder);
        Assert.Equal(["'adapter_config.json' is missing"], found.Problems);
        Assert.Empty(found.Edited);
    }

    [Fact]
    public void A_missing_checkpoint_is_refused_with_those_that_exist()
    {
        using var output = new TemporaryFolder();
        Directory.CreateDirectory(output.At("checkpoint-3"));
        var error = Assert.Throws<InvalidDataException>(() => CheckpointFolder.Candidates(output.Path, "4"));
        Assert.Contains("checkpoint-3", error.Message, StringComparison.Ordinal);
    }
}
