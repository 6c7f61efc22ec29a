using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Studio.Jobs;

namespace GlmTune.Studio.Tests;

public sealed class JobTests
{
    private const string Model = "models/glm-nano";

    private static string Recipe(int steps, string more = "") =>
        $"""
            data_config:
              train_file: data/ads/train.jsonl
              max_train_samples: 32
            max_input_length: 64
            max_output_length: 64
            training_args:
              max_steps: {steps}
              use_cpu: true
              per_device_train_batch_size: 1
              logging_steps: 1
              save_steps: 100000
              report_to: none
            {more}
            peft_config:
              peft_type: LORA
              r: 2
            """;

    private static string State(JsonNode job) => (string)job["state"]!;

    [Fact]
    public async Task A_job_is_started_and_found_by_a_later_studio_stopped_and_resumed()
    {
        await using var first = await RunningStudio.StartAsync();
        var started = (
            await first.PostAsync(
                "/api/studio/jobs",
                new
                {
                    model = Model,
                    recipe = Recipe(1_000_000),
                    name = "long",
                }
            )
        )["job"]!;
        Assert.Equal("running", State(started));
        Assert.Equal(
            "glmtune train . models/glm-nano output/.studio/jobs/long/recipe.yaml",
            (string?)started["command"]
        );
        var run = (string)started["run"]!;
        await StepsAsync(first, run, step => step > 0);
        await first.EndAsync();

        // The process has gone on, and another studio takes it over.
        await using var second = await RunningStudio.StartAsync(first.Folder);
        Assert.Equal("running", State((await second.GetAsync("/api/studio/jobs"))["jobs"]![0]!));
        await second.PostAsync(
            "/api/studio/jobs",
            new
            {
                model = Model,
                recipe = Recipe(1),
                name = "long",
            },
            HttpStatusCode.BadRequest
        );
        await second.PostAsync("/api/studio/jobs/long/resume", new { }, HttpStatusCode.BadRequest);
        await second.PostAsync("/api/studio/jobs/long/stop", new { });
        var stopped = (await second.JobAsync("long", job => State(job) is not ("running" or "stopping")))["job"]!;
        Assert.Equal(("stopped", 130), (State(stopped), (int)stopped["exit_code"]!));
        var saved = (long)Assert.Single(stopped["checkpoints"]!.AsArray())!;
        Assert.True(saved > 0);

        var resumed = (await second.PostAsync("/api/studio/jobs/long/resume", new { }))["job"]!;
        Assert.EndsWith("recipe.yaml yes", (string?)resumed["command"], StringComparison.Ordinal);
        await StepsAsync(second, run, step => step > saved);
        await second.PostAsync("/api/studio/jobs/long/stop", new { });
        await second.JobAsync("long", job => State(job) == "stopped");
    }

    [Fact]
    public async Task A_job_that_ends_by_itself_has_finished_and_one_with_an_error_says_it()
    {
        await using var studio = await RunningStudio.StartAsync();
        await studio.PostAsync(
            "/api/studio/jobs",
            new
            {
                model = Model,
                recipe = Recipe(2),
                name = "short",
            }
        );
        var done = await studio.JobAsync("short", job => State(job) != "running");
        Assert.Equal("finished", State(done["job"]!));
        Assert.Contains(
            done["lines"]!.AsArray(),
            line => ((string)line!).Contains("2 steps", StringComparison.Ordinal)
        );
        Assert.Contains("max_steps: 2", (string?)done["recipe"], StringComparison.Ordinal);
        Assert.Contains("output_dir: output/short", (string?)done["recipe"], StringComparison.Ordinal);

        await studio.PostAsync(
            "/api/studio/jobs",
            new
            {
                model = Model,
                recipe = Recipe(2).Replace("ads/train.jsonl", "ads/missing.jsonl", StringComparison.Ordinal),
                name = "failing",
            }
        );
        var failed = (await studio.JobAsync("failing", job => State(job) != "running"))["job"]!;
        Assert.Equal(("failed", 2), (State(failed), (int)failed["exit_code"]!));
        Assert.Contains(
            failed["last_lines"]!.AsArray(),
            line => ((string)line!).Contains("missing.jsonl", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task A_job_that_is_killed_is_said_to_have_died_with_its_last_lines_and_can_be_resumed()
    {
        await using var studio = await RunningStudio.StartAsync();
        var started = (
            await studio.PostAsync(
                "/api/studio/jobs",
                new
                {
                    model = Model,
                    recipe = Recipe(1_000_000),
                    name = "killed",
                }
            )
        )["job"]!;
        await StepsAsync(studio, (string)started["run"]!, step => step > 0);
        var folder = new JobFolder(Path.Combine(studio.Folder, "output", ".studio", "jobs", "killed"));
        using (var process = Process.GetProcessById(folder.Read().Process!.Pid))
        {
            process.Kill();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        var died = (await studio.JobAsync("killed", job => State(job) != "running"))["job"]!;
        Assert.Equal("died", State(died));
        Assert.NotEmpty(died["last_lines"]!.AsArray());
        await studio.PostAsync("/api/studio/jobs/killed/stop", new { }); // nothing happens
        Assert.Equal("running", State((await studio.PostAsync("/api/studio/jobs/killed/resume", new { }))["job"]!));
        await studio.PostAsync("/api/studio/jobs/killed/stop", new { });
        await studio.JobAsync("killed", job => State(job) is not ("running" or "stopping"));
    }

    [Fact]
    public async Task A_program_that_cannot_start_is_a_job_that_failed()
    {
        using var folder = new TemporaryFolder();
        var jobs = new JobList(folder.Path, _ => ["dotnet", "exec", Path.Combine(folder.Path, "missing.dll")]);
        var entry = await jobs.StartAsync("broken", ["version"], folder.Path);
        Assert.Equal(JobState.Failed, entry.State);
        Assert.Contains(entry.Folder.LastLines(10), line => line.Contains("missing.dll", StringComparison.Ordinal));
    }

    [Fact]
    public void A_damaged_record_hides_no_other_job()
    {
        using var folder = new TemporaryFolder();
        var jobs = new JobList(folder.Path, arguments => arguments);
        foreach (var (name, text) in ((string, string)[])[("a", "{"), ("b", "null"), ("c", "{\"name\": \"c\"}")])
        {
            Directory.CreateDirectory(Path.Combine(folder.Path, name));
            File.WriteAllText(Path.Combine(folder.Path, name, "job.json"), text);
        }

        jobs.FolderOf("d").Write(Record(JobStage.Ended) with { ExitCode = 0 });
        Assert.Equal(4, jobs.List().Count);
        Assert.Equal(3, jobs.List().Count(job => job.Problem is not null));
        Assert.Equal(JobState.Finished, jobs.Find("d")!.State);
    }

    [Theory]
    [InlineData(nameof(JobStage.Ended), 0, "7", nameof(JobState.Finished))]
    [InlineData(nameof(JobStage.Ended), 130, "7", nameof(JobState.Stopped))]
    [InlineData(nameof(JobStage.Ended), 2, "7", nameof(JobState.Failed))]
    [InlineData(nameof(JobStage.Running), null, "7", nameof(JobState.Running))]
    [InlineData(nameof(JobStage.Running), null, "8", nameof(JobState.Died))] // another process has its number
    [InlineData(nameof(JobStage.Running), null, null, nameof(JobState.Died))]
    [InlineData(nameof(JobStage.Starting), null, "7", nameof(JobState.Starting))]
    [InlineData(nameof(JobStage.Starting), null, null, nameof(JobState.Died))]
    public void The_state_follows_from_the_record_and_the_processes_that_are_there(
        string stage,
        int? exitCode,
        string? startOfProcess,
        string expected
    ) =>
        Assert.Equal(
            Enum.Parse<JobState>(expected),
            (
                Record(Enum.Parse<JobStage>(stage)) with
                {
                    ExitCode = exitCode,
                    Process = Owner("7"),
                    Launcher = Owner("7"),
                }
            ).StateFor(Owner("1"), _ => startOfProcess)
        );

    [Fact]
    public void After_a_restart_of_the_machine_a_running_job_has_died() =>
        Assert.Equal(
            JobState.Died,
            (Record(JobStage.Running) with { Process = Owner("7") }).StateFor(
                Owner("7") with
                {
                    Boot = "later",
                },
                _ => "7"
            )
        );

    private static LockOwner Owner(string started) =>
        new("run", "machine", 1, started, DateTimeOffset.UnixEpoch) { Boot = "boot", PidNamespace = "pid:[1]" };

    private static JobRecord Record(JobStage stage) =>
        new()
        {
            Name = "job",
            Arguments = ["version"],
            WorkingFolder = "/",
            Created = DateTimeOffset.UnixEpoch,
            Launcher = Owner("7"),
            Stage = stage,
        };

    // Until the run's log says that a step was done.
    private static async Task StepsAsync(RunningStudio studio, string run, Func<long, bool> isFarEnough)
    {
        while (true)
        {
            var runs = (await studio.GetAsync("/api/runs"))["runs"]!.AsArray();
            if (
                runs.FirstOrDefault(each => (string?)each!["id"] == run) is { } found
                && isFarEnough((long)found["step"]!)
            )
            {
                return;
            }

            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }
}
