using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace GlmTune;

public sealed class AnswerTests
{
    private static readonly string[] Greedy = ["--temperature", "0", "--max-new-tokens", "6", "--device", "cpu"];

    [Fact]
    public async Task A_prompt_gives_the_answer_alone_and_a_conversation_an_answer_a_line()
    {
        var model = await Workspace.RandomModel;
        var once = await ProgramRun.Done(["chat", model, "--prompt", "你好", .. Greedy]);
        var json = await ProgramRun.Done(["chat", model, "--prompt", "你好", "--json", .. Greedy]);
        var answer = JsonDocument.Parse(json.Output).RootElement;
        Assert.Equal(answer.GetProperty("text").GetString(), once.Output.TrimEnd('\n'));
        Assert.InRange(answer.GetProperty("answer_tokens").GetInt32(), 1, 6);
        var talk = await ProgramRun.Of("你好\n\n你好\nExit\nnot said\n", null, ["chat", model, .. Greedy]);
        Assert.Equal(0, talk.Code);
        Assert.Equal(once.Output.TrimEnd('\n'), talk.Output.Split('\n')[0]);
        Assert.Equal(2, talk.Output.Split('\n').Length);
    }

    [Fact]
    public async Task System_prompt_and_tools_are_part_of_the_prompt()
    {
        using var workspace = Workspace.With("");
        File.WriteAllText(
            workspace.At("tools.json"),
            """[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]"""
        );
        var model = await Workspace.RandomModel;
        async Task<int> PromptTokens(params string[] options) =>
            JsonDocument
                .Parse(
                    (await ProgramRun.Done(["chat", model, "--prompt", "a", "--json", .. options, .. Greedy])).Output
                )
                .RootElement.GetProperty("prompt_tokens")
                .GetInt32();
        var plain = await PromptTokens();
        var system = await PromptTokens("--system", "b");
        Assert.Equal(plain + 3, system);
        Assert.True(await PromptTokens("--tools", workspace.At("tools.json")) > system + 20);
    }

    [Fact]
    public async Task A_batch_keeps_its_order_and_goes_on_where_it_stopped()
    {
        using var workspace = Workspace.With("");
        var model = await Workspace.RandomModel;
        string[] command =
        [
            "generate",
            model,
            "--input",
            workspace.At("train.jsonl"),
            "--output",
            workspace.At("answers.jsonl"),
            "--temperature",
            "1",
            "--seed",
            "3",
            "--max-new-tokens",
            "5",
            "--device",
            "cpu",
        ];
        Assert.Contains("24 answered now", (await ProgramRun.Done(command)).Output, StringComparison.Ordinal);
        var whole = File.ReadAllText(workspace.At("answers.jsonl"));
        var rows = whole
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonDocument.Parse(line).RootElement)
            .ToArray();
        Assert.Equal(Enumerable.Range(1, 24), rows.Select(row => row.GetProperty("line").GetInt32()));
        Assert.Equal("这条裙子好看 21", rows[3].GetProperty("label").GetString());

        File.WriteAllText(workspace.At("answers.jsonl"), whole[..(whole.IndexOf('\n', whole.Length / 2) + 9)]);
        await ProgramRun.Done(command);
        Assert.Equal(whole, File.ReadAllText(workspace.At("answers.jsonl")));
        Assert.Contains("0 answered now", (await ProgramRun.Done(command)).Output, StringComparison.Ordinal);
        await ProgramRun.Done("metrics", workspace.At("answers.jsonl"));

        File.WriteAllText(workspace.At("answers.jsonl"), "{\"line\": 7}\n");
        Assert.Equal(2, (await ProgramRun.Of(command)).Code);
    }

    [Fact]
    public async Task A_command_that_cannot_stop_by_itself_is_ended_by_a_signal()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no SIGTERM.");
        using var workspace = Workspace.With("");
        var pipe = workspace.At("pipe");
        using (var make = Process.Start("mkfifo", [pipe]))
        {
            make.WaitForExit();
        }

        var start = new ProcessStartInfo(
            "dotnet",
            [
                Path.Combine(AppContext.BaseDirectory, "glmtune.dll"),
                "tokenize",
                await Workspace.RandomModel,
                "--file",
                pipe,
            ]
        );
        using var process = Process.Start(start)!;
        // This is open once the command reads, which then waits for what is never written.
        var open = Task.Run(
            () => new FileStream(pipe, FileMode.Open, FileAccess.Write),
            TestContext.Current.CancellationToken
        );
        Assert.Same(open, await Task.WhenAny(open, process.WaitForExitAsync(TestContext.Current.CancellationToken)));
        await using var never = await open;
        using (var kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            kill.WaitForExit();
        }

        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(128 + 15, process.ExitCode);
    }

    [Fact]
    public async Task A_model_is_measured_under_load_on_one_device_and_on_stages()
    {
        var model = await Workspace.RandomModel;
        foreach (var device in (string[])["cpu", "cpu,cpu"])
        {
            var report = JsonDocument
                .Parse(
                    (
                        await ProgramRun.Done(
                            "stress",
                            model,
                            "--token-len",
                            "20,40",
                            "--concurrency",
                            "3",
                            "--n",
                            "2",
                            "--max-new-tokens",
                            "4",
                            "--device",
                            device,
                            "--json"
                        )
                    ).Output
                )
                .RootElement;
            var rows = report.GetProperty("results").EnumerateArray().ToArray();
            Assert.Equal([20, 40], rows.Select(row => row.GetProperty("prompt_tokens").GetInt32()));
            Assert.All(
                rows,
                row =>
                    Assert.Equal(
                        (6, 0, 24),
                        (
                            row.GetProperty("requests").GetInt32(),
                            row.GetProperty("failed").GetInt32(),
                            row.GetProperty("answer_tokens").GetInt32()
                        )
                    )
            );
        }

        var table = await ProgramRun.Done(
            "stress",
            model,
            "--token-len",
            "20",
            "--max-new-tokens",
            "4",
            "--device",
            "cpu"
        );
        var row = table.Output.TrimEnd().Split('\n')[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal((12, "20", "0"), (row.Length, row[0], row[^1]));
        Assert.Equal(2, (await ProgramRun.Of("stress")).Code);
        Assert.Equal(2, (await ProgramRun.Of("stress", model, "--token-len", "x")).Code);
    }

    [Fact]
    public async Task What_was_trained_can_be_evaluated_and_asked()
    {
        using var workspace = Workspace.With("max_steps: 2");
        var model = await Workspace.RandomModel;
        await ProgramRun.Done("train", workspace.Folder, model, workspace.Recipe);
        var checkpoint = Path.Combine(workspace.Output, "checkpoint-2");
        var scores = JsonDocument
            .Parse(
                (
                    await ProgramRun.Done(
                        "eval",
                        workspace.Folder,
                        checkpoint,
                        workspace.Recipe,
                        "--json",
                        "--device",
                        "cpu"
                    )
                ).Output
            )
            .RootElement;
        Assert.All(
            (string[])["rouge-1", "rouge-2", "rouge-l", "bleu-4"],
            name =>
                Assert.Contains(
                    scores.EnumerateObject(),
                    member => member.Name.EndsWith(name, StringComparison.Ordinal)
                )
        );
        await ProgramRun.Done(["chat", checkpoint, "--prompt", "a", .. Greedy]);
        var info = JsonDocument
            .Parse((await ProgramRun.Done("model", "info", checkpoint, "--json")).Output)
            .RootElement;
        Assert.Equal(4, info.GetProperty("adapter").GetProperty("rank").GetInt32());
    }
}
