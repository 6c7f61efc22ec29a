using GlmTune.Checkpoints;
using GlmTune.Data.Batching;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Tests;

public sealed class SlurmRestartTests
{
    // Checkpoints as step:job; what the user gave; restarts of job 7; what the run resumes from.
    [Theory]
    [InlineData("", null, 1, null)] // nothing was saved before the restart
    [InlineData("2:7,4:7", null, 1, "yes")]
    [InlineData("2:7,4:7", "no", 1, "yes")]
    [InlineData("2:7,4:7", "2", 2, "yes")] // the first start resumed from 2
    [InlineData("2:7,4:7", null, 0, null)]
    [InlineData("2:6,4:", null, 1, null)] // of another job, and of none
    [InlineData("2:6,4:6", "2", 1, "2")]
    [InlineData("2:6,3:7,4:6", "2", 1, "3")] // 4 was there before this job resumed from 2
    public void A_restarted_job_resumes_from_what_it_saved(string saved, string? given, int restarts, string? expected)
    {
        using var output = new TemporaryFolder();
        foreach (var pair in saved.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(pair => pair.Split(':')))
        {
            var folder = Directory.CreateDirectory(output.At($"checkpoint-{pair[0]}")).FullName;
            new TrainingState
            {
                Step = 2,
                TotalSteps = 8,
                Data = new DataCursor(0, 0),
                Seed = 1,
                Job = pair[1].Length > 0 ? pair[1] : null,
            }.Write(folder);
        }

        List<string> notes = [];
        Assert.Equal(expected, new SlurmRestart("7", restarts).Resume(output.Path, given, notes.Add));
        Assert.Equal(expected != given || expected == "yes" ? 1 : 0, notes.Count);
        Assert.Equal(given, new SlurmRestart(null, restarts).Resume(output.Path, given, Assert.Fail));
    }
}
