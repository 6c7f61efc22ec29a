using System.Globalization;
using GlmTune.Checkpoints;

namespace GlmTune.Recipes.Training;

/// <summary>The Slurm job that a run belongs to, and how often Slurm has restarted (requeued) it.</summary>
/// <param name="Job">The job's id; null outside Slurm.</param>
/// <param name="Count">How often the job has been restarted.</param>
internal sealed record SlurmRestart(string? Job, int Count)
{
    /// <summary>That of this process: <c>SLURM_JOB_ID</c> and <c>SLURM_RESTART_COUNT</c>.</summary>
    public static SlurmRestart Current =>
        new(
            Environment.GetEnvironmentVariable("SLURM_JOB_ID"),
            int.TryParse(
                Environment.GetEnvironmentVariable("SLURM_RESTART_COUNT"),
                NumberStyles.None,
                CultureInfo.InvariantCulture,
                out var count
            )
                ? count
                : 0
        );

    /// <summary>What a run resumes from: the newest checkpoint that an earlier start of the same job wrote, otherwise
    /// what the user gave.</summary>
    /// <param name="output">The output folder.</param>
    /// <param name="given">What the user gave, as accepted by <see cref="CheckpointFolder.Candidates"/>.</param>
    /// <param name="note">Called if the restarted job resumes by itself.</param>
    public string? Resume(string output, string? given, Action<string> note)
    {
        if (Job is null || Count == 0)
        {
            return given;
        }

        var steps = CheckpointFolder.Steps(output);
        var own = steps.LastOrDefault(step => JobOf(CheckpointFolder.PathOf(output, step)) == Job);
        if (own == 0)
        {
            return given;
        }

        note($"Slurm has restarted job {Job} (restart {Count}): it resumes from its newest checkpoint");
        // With "yes", an older checkpoint is used if the newest is damaged.
        return own == steps[^1] ? "yes" : own.ToString(CultureInfo.InvariantCulture);
    }

    private static string? JobOf(string checkpoint)
    {
        try
        {
            return TrainingState.Read(checkpoint)?.Job;
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
