using System.Text;
using GlmTune.Runs;
using GlmTune.Server;
using GlmTune.Server.Board;
using Microsoft.AspNetCore.Builder;
using Microsoft.Playwright;

namespace GlmTune.Browser.Tests;

/// <summary>The training page over logs that grow while it looks.</summary>
public sealed class RunsPageTests(Chromium chromium) : BrowserTests(chromium)
{
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-board-").FullName;

    [Fact]
    public async Task A_run_is_followed_while_it_goes_on_and_found_again_after_a_reload_and_a_restart_of_the_server()
    {
        using var log = RunLog.Open(At("live"), 0, 200);
        Steps(log, 1, 40);
        await using var first = await ServerAsync();
        await using var tab = await OpenAsync(Address(first) + "/runs");
        await Assertions.Expect(tab.Role(AriaRole.Heading, "live")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.Locator("main .state")).ToHaveTextAsync("running");
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("40 of 200");
        var loss = tab.Page.Locator(".chart").First;
        await Assertions.Expect(loss.Locator("path.curve")).ToHaveCountAsync(1);

        Steps(log, 41, 120);
        log.Evaluation(120, [KeyValuePair.Create("eval_loss", 1.75), KeyValuePair.Create("eval_rouge-l", 31.5)]);
        log.Answers(120, [new RunAnswer(3, "类型#裙", "这条裙子很好看", "这条裙子")]);
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("120 of 200");
        await Assertions.Expect(loss.Locator("path.curve")).ToHaveCountAsync(2);
        await Assertions.Expect(tab.Role(AriaRole.Cell, "这条裙子很好看")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.Locator("figure", new() { HasText = "ROUGE" })).ToBeVisibleAsync();

        await loss.Locator(".plot").FocusAsync();
        await tab.Page.Keyboard.PressAsync("End");
        await Assertions.Expect(loss.Locator(".tip")).ToContainTextAsync("step 120");
        await Assertions.Expect(loss.Locator(".tip")).ToContainTextAsync("1.75");
        await tab.ShootAsync("runs-live");

        await tab.Page.ReloadAsync();
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("120 of 200");
        log.End(RunState.Stopped);
        await Assertions.Expect(tab.Page.Locator("main .state")).ToHaveTextAsync("stopped");

        await first.StopAsync();
        await using var second = await ServerAsync();
        await using var again = await OpenAsync(
            Address(second) + "/" + new Uri(tab.Page.Url).PathAndQuery.TrimStart('/') + new Uri(tab.Page.Url).Fragment
        );
        await Assertions.Expect(again.Page.Locator(".progress")).ToContainTextAsync("120 of 200");
        tab.Expected.Add("ERR_CONNECTION_REFUSED");
    }

    [Fact]
    public async Task A_run_that_goes_on_from_a_checkpoint_loses_the_curve_after_it()
    {
        using (var log = RunLog.Open(At("resumed"), 0, 20))
        {
            Steps(log, 1, 20);
        }

        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(Address(server) + "/runs");
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("20 of 20");
        using var again = RunLog.Open(At("resumed"), 10, 20);
        Steps(again, 11, 12);
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("12 of 20");
        var file = await tab.Page.RunAndWaitForDownloadAsync(() =>
            tab.Button("Save as CSV: Learning rate").ClickAsync()
        );
        var lines = await File.ReadAllLinesAsync(await file.PathAsync());
        Assert.Equal("step,Learning rate", lines[0]);
        Assert.Equal(
            [.. Enumerable.Range(1, 12)],
            lines[1..].Select(line => int.Parse(line.Split(',')[0], System.Globalization.CultureInfo.InvariantCulture))
        );
    }

    [Fact]
    public async Task Runs_are_compared_by_curves_and_by_what_differs_and_saved_as_files()
    {
        Finished("lora-r8", 8, 1.0);
        Finished("lora-r32", 32, 1.1);
        Directory.CreateDirectory(At("python", "checkpoint-20"));
        File.WriteAllText(
            At("python", "checkpoint-20", "trainer_state.json"),
            """
            {"global_step": 20, "max_steps": 20, "log_history": [{"step": 10, "loss": 2.5, "learning_rate": 5e-5, "epoch": 1}, {"step": 20, "loss": 1.5, "learning_rate": 0, "epoch": 2}, {"step": 20, "eval_loss": 1.7, "epoch": 2}]}
            """
        );
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(Address(server) + "/runs");
        await tab.Button("lora-r8")
            .Or(tab.Page.Locator(".run .pick", new() { HasText = "lora-r8" }))
            .First.ClickAsync();
        await tab.Page.Locator(".run").GetByLabel("Show lora-r32").CheckAsync();
        await Assertions.Expect(tab.Page.Locator("tr.differs")).ToHaveCountAsync(1);
        await Assertions.Expect(tab.Page.Locator("tr.differs")).ToContainTextAsync("lora.rank");
        await tab.Page.GetByLabel("Only differences").UncheckAsync();
        await Assertions.Expect(tab.Page.GetByText("optimizer.learning_rate")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.Locator(".chart").First.Locator(".legend li")).ToHaveCountAsync(4);
        await tab.ShootAsync("runs-compare");
        await tab.AccessibleAsync();

        var picture = await tab.Page.RunAndWaitForDownloadAsync(() => tab.Button("Save as PNG: Loss").ClickAsync());
        var bytes = await File.ReadAllBytesAsync(await picture.PathAsync());
        Assert.Equal([0x89, .. "PNG"u8], bytes[..4]);
        Assert.True(bytes.Length > 5000);
        var csv = await tab.Page.RunAndWaitForDownloadAsync(() => tab.Button("Save as CSV: Loss").ClickAsync());
        Assert.StartsWith(
            "step,lora-r8 · Training,lora-r8 · Evaluation,lora-r32 · Training,lora-r32 · Evaluation\n1,",
            await File.ReadAllTextAsync(await csv.PathAsync(), Encoding.UTF8),
            StringComparison.Ordinal
        );

        await tab.Page.ReloadAsync();
        await Assertions.Expect(tab.Page.Locator(".run.shown")).ToHaveCountAsync(2);
        await tab.Page.Locator(".run .pick", new() { HasText = "python" }).ClickAsync();
        await Assertions.Expect(tab.Role(AriaRole.Heading, "python")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.Locator(".run-head .state")).ToHaveTextAsync("finished");
        await Assertions.Expect(tab.Page.Locator(".chart").First.Locator("path.curve")).ToHaveCountAsync(2);
    }

    [Fact]
    public async Task An_empty_folder_says_what_will_come_and_a_board_alone_has_no_chat()
    {
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(Address(server));
        await Assertions.Expect(tab.Role(AriaRole.Heading, "No runs yet")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Role(AriaRole.Link, "Chat")).ToBeHiddenAsync();
        using var log = RunLog.Open(At("new"), 0, 5);
        Steps(log, 1, 2);
        await Assertions.Expect(tab.Role(AriaRole.Heading, "new")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task The_page_is_sound_in_dark_Chinese_and_on_a_phone()
    {
        Finished("lora-r8", 8, 1.0);
        await using var server = await ServerAsync();
        await using (
            var tab = await OpenAsync(
                Address(server) + "/runs",
                new BrowserNewContextOptions { ColorScheme = ColorScheme.Dark, Locale = "zh-CN" }
            )
        )
        {
            await Assertions.Expect(tab.Page.Locator("main .state")).ToHaveTextAsync("已完成");
            await Assertions.Expect(tab.Page.Locator(".chart").First).ToContainTextAsync("损失");
            await tab.ShootAsync("runs-dark-chinese");
            await tab.AccessibleAsync();
            await tab.Button("English").ClickAsync();
            await Assertions.Expect(tab.Role(AriaRole.Heading, "Learning rate")).ToBeVisibleAsync();
        }

        await using (
            var tab = await OpenAsync(
                Address(server) + "/runs",
                new BrowserNewContextOptions
                {
                    ViewportSize = new ViewportSize { Width = 390, Height = 844 },
                    HasTouch = true,
                    IsMobile = true,
                }
            )
        )
        {
            await Assertions.Expect(tab.Page.Locator(".chart").First.Locator("path.curve")).ToHaveCountAsync(2);
            Assert.Equal(390, await tab.Page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
            await tab.ShootAsync("runs-phone");
            await tab.AccessibleAsync();
            await Assertions
                .Expect(tab.Page.Locator("main"))
                .ToMatchAriaSnapshotAsync(
                    """
                    - main:
                      - button "Runs"
                      - region "lora-r8":
                        - heading "lora-r8" [level=1]
                        - progressbar "Steps"
                      - region "Curves":
                        - heading "Curves" [level=2]
                        - combobox "Over"
                        - slider "Smoothing"
                        - checkbox "Log scale"
                        - figure:
                          - heading "Loss" [level=3]
                          - 'button "Save as PNG: Loss"'
                    """
                );
        }
    }

    [Fact]
    public async Task Curves_are_drawn_over_steps_time_or_tokens_and_zoomed()
    {
        Finished("lora-r8", 8, 1.0);
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(Address(server) + "/runs");
        var loss = tab.Page.Locator(".chart").First;
        var tip = loss.Locator(".tip");
        async Task EndAsync()
        {
            await loss.Locator(".plot").FocusAsync();
            await tab.Page.Keyboard.PressAsync("End");
        }

        await Assertions.Expect(loss.Locator("path.curve")).ToHaveCountAsync(2);
        await EndAsync();
        await Assertions.Expect(tip).ToContainTextAsync("step 100");
        await tab.Role(AriaRole.Combobox, "Over").SelectOptionAsync("time");
        await EndAsync();
        await Assertions.Expect(tip).ToContainTextAsync("0:00:25"); // 100 steps of a quarter of a second
        await tab.ShootAsync("runs-time");
        await tab.Role(AriaRole.Combobox, "Over").SelectOptionAsync("tokens");
        await EndAsync();
        await Assertions.Expect(tip).ToContainTextAsync("65K tokens");
        await tab.Role(AriaRole.Combobox, "Over").SelectOptionAsync("step");

        // Zoom by drawing, by keys, and back.
        var box = (await loss.Locator(".plot").BoundingBoxAsync())!;
        var whole = tab.Button("Show all");
        await Assertions.Expect(whole).ToBeHiddenAsync();
        await tab.Page.Mouse.MoveAsync(box.X + (box.Width * 0.5f), box.Y + 100);
        await tab.Page.Mouse.DownAsync();
        await tab.Page.Mouse.MoveAsync(box.X + (box.Width * 0.6f), box.Y + 100);
        await tab.Page.Mouse.UpAsync();
        await Assertions.Expect(whole).ToBeVisibleAsync();
        await Assertions.Expect(loss.Locator("clipPath")).ToHaveCountAsync(1);
        await tab.ShootAsync("runs-zoomed");
        await whole.ClickAsync();
        await Assertions.Expect(loss.Locator("clipPath")).ToHaveCountAsync(0);
        await loss.Locator(".plot").FocusAsync();
        await tab.Page.Keyboard.PressAsync("+");
        await Assertions.Expect(whole).ToBeVisibleAsync();
        await tab.Page.Keyboard.PressAsync("-");
        await Assertions.Expect(whole).ToBeHiddenAsync();
    }

    [Fact]
    public async Task Runs_are_a_table_to_search_with_their_own_keys_and_the_commands_for_what_comes_next()
    {
        Finished("lora-r8", 8, 1.0, RunState.Stopped);
        Finished("lora-r32", 32, 1.1, RunState.Failed);
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(Address(server) + "/runs");
        var table = tab.Page.Locator(".run-table");
        await Assertions.Expect(table.Locator("tbody tr")).ToHaveCountAsync(2);
        await tab.Page.GetByLabel("Search runs").FillAsync("R8");
        await Assertions.Expect(table.Locator("tbody tr")).ToHaveCountAsync(1);
        await Assertions.Expect(table.Locator("tbody tr")).ToContainTextAsync("100 of 100");
        await Assertions.Expect(tab.Page.Locator(".run")).ToHaveCountAsync(1);
        await tab.Page.Locator(".run .pick").ClickAsync();

        // What the recipe sets, in its own words; the rest is folded.
        await Assertions.Expect(tab.Role(AriaRole.Rowheader, "peft_config.r")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.GetByText("lora.rank")).ToBeHiddenAsync();
        await Assertions
            .Expect(tab.Page.Locator(".command code"))
            .ToHaveTextAsync([
                "glmtune chat checkpoint-100",
                "glmtune train data/ads 'models/my model' lora.yaml yes",
                "glmtune train data/ads 'models/my model' lora.yaml --set training_args.output_dir=out/lora-r8-2",
            ]);
        await Assertions.Expect(tab.Page.Locator(".card")).ToContainTextAsync("类型#裙*材质#棉*颜色#白色");
        Assert.DoesNotContain("gMASK", await tab.Page.Locator("main").InnerTextAsync(), StringComparison.Ordinal);

        await tab.Page.GetByLabel("Search runs").FillAsync("");
        await table.GetByLabel("Show lora-r32").CheckAsync();
        await Assertions.Expect(tab.Page.Locator("tr.differs")).ToHaveCountAsync(3);
        await tab.AccessibleAsync();
        await tab.ShootAsync("runs-table");
        await tab.Page.SetViewportSizeAsync(390, 844);
        Assert.Equal(
            390,
            await tab.Page.EvaluateAsync<int>(
                "Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth)"
            )
        );
        await tab.ShootWholeAsync("runs-table-phone");
    }

    public override void Dispose()
    {
        Directory.Delete(folder, recursive: true);
        base.Dispose();
    }

    private static string Address(WebApplication app) => app.Urls.First();

    private static void Steps(RunLog log, int from, int to, double scale = 1)
    {
        for (var step = from; step <= to; step++)
        {
            log.Step(
                step,
                new Dictionary<string, double>
                {
                    ["loss"] = scale * (1.2 + (3 * Math.Exp(-step / 25.0)) + (0.15 * Math.Sin(step * 1.7))),
                    ["grad_norm"] = 0.5 + Math.Exp(-step / 30.0) + (0.2 * Math.Abs(Math.Sin(step * 3))),
                    ["learning_rate"] = 2e-3 * (1 - (step / 200.0)),
                    ["seconds"] = 0.25,
                    ["tokens"] = 650,
                    ["tokens_per_second"] = 2600 + (100 * Math.Sin(step)),
                    ["memory_gib"] = 3.2,
                }
            );
        }
    }

    private string At(params string[] names) => Path.Combine([folder, .. names]);

    private async Task<WebApplication> ServerAsync()
    {
        var server = RunBoard.CreateServer([folder], new ServerOptions { Port = 0 });
        await server.StartAsync();
        return server;
    }

    private void Finished(string name, int rank, double scale, RunState end = RunState.Finished)
    {
        using var log = RunLog.Open(At(name), 0, 100);
        new RunDescription
        {
            Settings =
                end == RunState.Finished
                    ? new Dictionary<string, string>()
                    : new Dictionary<string, string>
                    {
                        ["training_args.learning_rate"] = "2e-3",
                        ["training_args.output_dir"] = $"out/{name}",
                        ["peft_config.r"] = $"{rank}",
                    },
            Command = end == RunState.Finished ? [] : ["train", "data/ads", "models/my model", "lora.yaml"],
            Started = DateTimeOffset.UtcNow,
            Model = "THUDM/glm-4-9b-chat",
            Data = "data/ads",
            Device = "cuda:0",
            Type = "bfloat16",
            Rows = 114_599,
            TotalSteps = 100,
            TrainedParameters = 2_785_280,
            AllParameters = 9_402_736_640,
            Recipe = new()
            {
                ["optimizer"] = new System.Text.Json.Nodes.JsonObject { ["learning_rate"] = 2e-3 },
                ["lora"] = new System.Text.Json.Nodes.JsonObject { ["rank"] = rank, ["alpha"] = 32 },
            },
        }.Write(At(name));
        log.Note("lora.yaml, line 9: 'training_args.dataloader_num_workers' has no effect here");
        for (var step = 20; step <= 100; step += 20)
        {
            Steps(log, step - 19, step, scale);
            log.Evaluation(
                step,
                [
                    KeyValuePair.Create("eval_loss", scale * (1.3 + (2.5 * Math.Exp(-step / 30.0)))),
                    KeyValuePair.Create("eval_rouge-1", 20 + (step / 8.0)),
                    KeyValuePair.Create("eval_rouge-l", 15 + (step / 9.0)),
                    KeyValuePair.Create("eval_bleu-4", step / 1200.0),
                ]
            );
            log.Answers(
                step,
                [
                    new RunAnswer(
                        1,
                        "[gMASK]<sop><|user|>\n类型#裙*材质#棉*颜色#白色<|assistant|>",
                        "这条裙子采用棉质面料" + string.Concat(Enumerable.Repeat("，白色清新", step / 20)),
                        "这条白色的棉质裙子，舒适透气。"
                    ),
                    new RunAnswer(9, "类型#裤*风格#简约", "简约的裤子", "这条裤子简约百搭。"),
                ]
            );
        }

        log.Saved("checkpoint-100");
        log.End(end);
    }
}
