using GlmTune.Collectives.Native;

namespace GlmTune.Collectives.Tests;

public class MpiTests
{
    [Theory, InlineData("mpirun", 1), InlineData("mpirun", 2), InlineData("mpirun", 3), InlineData("mpirun.mpich", 2)]
    public async Task Processes_pass_the_cases(string launcher, int ranks)
    {
        var (code, output, _) = await RankProgram.Mpirun(ranks, "cases", launcher);
        Assert.True(code == 0, output);
        Assert.All(CollectivesCases.All.Keys, name => Assert.Contains($"passed {name} ", output));
    }

    [Fact]
    public async Task Tensors_larger_than_a_message_are_cut()
    {
        var (code, output, _) = await RankProgram.Mpirun(2, "cases 60 1000");
        Assert.True(code == 0, output);
        Assert.Equal(CollectivesCases.All.Count, output.Split("passed ").Length - 1);
    }

    [Fact]
    public async Task A_rank_that_hangs_ends_all_with_a_message_when_the_time_is_over()
    {
        var (code, output, time) = await RankProgram.Mpirun(2, "hang 1");
        Assert.Equal(LostRankException.ExitCode, code);
        Assert.Contains(
            "Rank 0 of 2, step 1204, layer 17: AllGather of bfloat16 [2, 3] not finished after 1 s. A rank "
                + "has stopped or diverged; compare their logs.",
            output
        );
        Assert.True(time < TimeSpan.FromSeconds(45), $"{time}");
    }

    [Theory, InlineData("exit", 7), InlineData("kill", 137)]
    public async Task A_rank_that_dies_ends_all_with_its_code(string task, int expected)
    {
        var (code, output, time) = await RankProgram.Mpirun(2, task);
        Assert.True(expected == code, $"{code}\n{output}");
        Assert.True(time < TimeSpan.FromSeconds(45), $"{time}");
    }

    [Fact]
    public async Task A_rank_that_throws_reports_and_ends_all_with_its_code()
    {
        var (code, output, time) = await RankProgram.Mpirun(2, "throw");
        Assert.Equal(2, code);
        Assert.Contains("Rank 1 failed: train.jsonl, line 3: no such role", output);
        Assert.True(time < TimeSpan.FromSeconds(45), $"{time}");
    }

    [Fact]
    public async Task Ranks_that_take_different_paths_are_told_both()
    {
        var (code, output, _) = await RankProgram.Mpirun(2, "another-path");
        Assert.Equal(LostRankException.ExitCode, code);
        Assert.Matches(
            "(Rank 0 of 2, step 1204, layer 17: AllGather of bfloat16 \\[2, 3\\] does not match AllReduceSum "
                + "of float32 \\[6\\] at step 1204, layer 18 of rank 1)|(Rank 1 of 2, step 1204, layer 18: "
                + "AllReduceSum of float32 \\[6\\] does not match AllGather of bfloat16 \\[6\\] at step 1204, "
                + "layer 17 of rank 0)",
            output
        );
    }

    [Fact]
    public async Task A_rank_that_ends_early_ends_all()
    {
        var (code, output, _) = await RankProgram.Mpirun(2, "end-early");
        Assert.Equal(LostRankException.ExitCode, code);
        Assert.Matches(
            "does not match the end of the run of rank 1|the end of the run does not match AllGather",
            output
        );
    }

    [Fact]
    public async Task The_runtime_keeps_its_handler_of_memory_faults() =>
        Assert.Equal(0, (await RankProgram.Mpirun(1, "null-reference")).Code);

    [Theory]
    [InlineData("PMI_RANK", "libmpi.so.12")]
    [InlineData("OMPI_COMM_WORLD_RANK", "libmpi.so.40")]
    [InlineData("SLURM_PROCID", "libmpi.so.40")]
    public void The_kind_of_the_launcher_is_tried_first(string variable, string expected)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The names are Linux's.");
        Assert.Equal(expected, MpiLibrary.Candidates(name => name == variable ? "0" : null)[0]);
    }

    [Fact]
    public void A_named_library_is_the_only_one_tried() =>
        Assert.Equal(
            ["/opt/mpi/lib/libmpi.so"],
            MpiLibrary.Candidates(name => name == "GLMTUNE_MPI" ? "/opt/mpi/lib/libmpi.so" : "1")
        );
}
