namespace GlmTune.Checkpoints.Tests;

public sealed class TrainerStateFileTests
{
    private static readonly TrainerStateSettings Settings = new(100, 3, 10, 0.5, 20, 4);

    [Fact]
    public void What_is_written_is_read_again()
    {
        using var folder = new TemporaryFolder();
        var state = new TrainerStateFile
        {
            GlobalStep = 20,
            Epoch = 0.6,
            BestMetric = 1.25,
            BestStep = 10,
            BestCheckpoint = "output/checkpoint-10",
            TokensSeen = 4_000_000_000,
        };
        state.Log(10, 0.3, [new("loss", 2.5), new("grad_norm", double.NaN)]);
        state.Write(folder.Path, Settings);
        var read = TrainerStateFile.Read(folder.Path);
        Assert.Equal(
            (20, 100, 0.6, 1.25, 10, "output/checkpoint-10", 4_000_000_000),
            (
                read.GlobalStep,
                read.TotalSteps,
                read.Epoch,
                read.BestMetric,
                read.BestStep,
                read.BestCheckpoint,
                read.TokensSeen
            )
        );
        Assert.Equal(
            """{"epoch":0.3,"loss":2.5,"grad_norm":null,"step":10}""",
            Assert.Single(read.History)!.ToJsonString()
        );
    }

    [Fact]
    public void Python_s_bare_words_become_null()
    {
        using var folder = new TemporaryFolder();
        folder.Write(
            TrainerStateFile.FileName,
            """{"global_step": 5, "best_metric": NaN, "log_history": [{"loss": -Infinity, "note": "NaN"}]}"""
        );
        var read = TrainerStateFile.Read(folder.Path);
        Assert.Null(read.BestMetric);
        Assert.Equal("""[{"loss":null,"note":"NaN"}]""", read.History.ToJsonString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"global_step": "five"}""")]
    public void A_damaged_file_is_refused(string text)
    {
        using var folder = new TemporaryFolder();
        folder.Write(TrainerStateFile.FileName, text);
        Assert.Throws<InvalidDataException>(() => TrainerStateFile.Read(folder.Path));
    }
}
