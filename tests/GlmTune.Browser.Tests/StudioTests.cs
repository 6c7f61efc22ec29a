using GlmTune.Studio.Tests;
using Microsoft.Playwright;

namespace GlmTune.Browser.Tests;

/// <summary>The studio on the repository's small model: a run is put together, checked, planned, started, watched,
/// stopped, resumed, and talked to.</summary>
/// <remarks>Nothing depends on how fast training is: the run that is stopped would go on for a million steps.</remarks>
public sealed class StudioTests(Chromium chromium) : BrowserTests(chromium)
{
    private const string Long = "1000000";

    // Loading libtorch in a new process takes long on a busy machine.
    private static readonly LocatorAssertionsToHaveTextOptions Soon = new() { Timeout = 120_000 };

    [Fact]
    public async Task A_run_is_made_watched_stopped_resumed_and_talked_to()
    {
        await using var studio = await RunningStudio.StartAsync();
        await using var tab = await OpenAsync($"{studio.App.Urls.Single()}/#key={RunningStudio.Key}");
        var page = tab.Page;

        // Model and data are found; the recipe follows from the model.
        await Assertions.Expect(page.GetByLabel("Model", new() { Exact = true })).ToHaveValueAsync("models/glm-nano");
        await Assertions
            .Expect(page.GetByLabel("Training", new() { Exact = true }))
            .ToHaveValueAsync("data/ads/train.jsonl");
        await Assertions
            .Expect(page.GetByLabel("Validation", new() { Exact = true }))
            .ToHaveValueAsync("data/ads/dev.jsonl");
        Assert.DoesNotContain("key=", page.Url, StringComparison.Ordinal);

        // Data: figures, and the first row with what has loss.
        await tab.Button("Check data").ClickAsync();
        await Assertions.Expect(page.GetByText("Every row can be used.")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".data-row mark").First).ToBeVisibleAsync();
        await tab.AccessibleAsync();
        await tab.ShootAsync("studio-setup");

        // Form and YAML stay in step, both ways.
        var yaml = page.GetByLabel("The same as YAML");
        await page.GetByLabel("max_steps", new() { Exact = true }).FillAsync(Long);
        await page.GetByLabel("max_steps", new() { Exact = true }).BlurAsync();
        await Assertions
            .Expect(yaml)
            .ToHaveValueAsync(new System.Text.RegularExpressions.Regex($"max_steps: {Long}\n"));
        await yaml.FillAsync(
            (await yaml.InputValueAsync()).Replace("logging_steps: 10", "logging_steps: 1", StringComparison.Ordinal)
        );
        await Assertions.Expect(page.GetByLabel("logging_steps", new() { Exact = true })).ToHaveValueAsync("1");
        await yaml.FillAsync(
            (await yaml.InputValueAsync()).Replace(
                "logging_steps: 1\n",
                "logging_steps: often\n",
                StringComparison.Ordinal
            )
        );
        await Assertions.Expect(page.GetByText("'training_args.logging_steps' is 'often'")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Button("Start training")).ToBeDisabledAsync();
        await tab.ShootAsync("studio-problem");
        await yaml.FillAsync(
            (await yaml.InputValueAsync())
                .Replace("logging_steps: often", "logging_steps: 1", StringComparison.Ordinal)
                .Replace("eval_strategy: steps", "eval_strategy: no\n  use_cpu: true", StringComparison.Ordinal)
                .Replace("save_steps: 50", "save_steps: 1000000", StringComparison.Ordinal)
        );
        await Assertions.Expect(tab.Button("Start training")).ToBeEnabledAsync();

        // What is not saved survives a refresh.
        await page.ReloadAsync();
        await Assertions.Expect(yaml).ToHaveValueAsync(new System.Text.RegularExpressions.Regex("save_steps: 1000000"));

        // Memory.
        await tab.Button("Plan memory").ClickAsync();
        await Assertions
            .Expect(page.Locator(".verdict.good"))
            .ToContainTextAsync("It fits", new() { Timeout = 120_000 });

        // Start, watch.
        await page.GetByLabel("Name of the run").FillAsync("first");
        await tab.Button("Start training").ClickAsync();
        await Assertions.Expect(page.Locator("main .state")).ToHaveTextAsync("running", Soon);
        await Assertions.Expect(page.Locator("main .chart .curve").First).ToBeVisibleAsync(new() { Timeout = 120_000 });
        await tab.ShootAsync("studio-running");

        // A refresh finds the job again.
        await page.ReloadAsync();
        await Assertions.Expect(page.Locator("main .state")).ToHaveTextAsync("running", Soon);
        await tab.Button("Save and stop").ClickAsync();
        await Assertions.Expect(page.Locator("main .state")).ToHaveTextAsync("stopped", Soon);
        await tab.AccessibleAsync();
        await tab.ShootAsync("studio-stopped");
        await tab.Button("Resume").ClickAsync();
        await Assertions.Expect(page.Locator("main .state")).ToHaveTextAsync("running", Soon);
        await Assertions.Expect(page.Locator("main .command code")).ToContainTextAsync("recipe.yaml yes");
        await tab.Button("Save and stop").ClickAsync();
        await Assertions.Expect(page.Locator("main .state")).ToHaveTextAsync("stopped", Soon);

        // Chat with the checkpoint, its base beside it.
        await tab.Button("Chat with the result").ClickAsync();
        await page.WaitForURLAsync("**/chat", new() { Timeout = 120_000 });
        await tab.Button("Settings").ClickAsync();
        await page.GetByLabel("Max tokens", new() { Exact = true }).FillAsync("16");
        await tab.AskAsync("类型#裙");
        await Assertions.Expect(page.Locator(".reply .figures")).ToContainTextAsync("tokens");
        await tab.ShootAsync("studio-chat");

        // The runs are on the training page, to be compared.
        await tab.Role(AriaRole.Link, "Training").ClickAsync();
        await Assertions.Expect(page.Locator("main h1")).ToHaveTextAsync("first");
        await studio.PostAsync("/api/studio/chat/stop", new { });
    }

    [Fact]
    public async Task On_a_phone_and_in_Chinese_nothing_overflows()
    {
        await using var studio = await RunningStudio.StartAsync();
        await using var tab = await OpenAsync(
            $"{studio.App.Urls.Single()}/#key={RunningStudio.Key}",
            new()
            {
                Locale = "zh-CN",
                ViewportSize = new() { Width = 390, Height = 844 },
            }
        );
        await tab.Button("检查数据").ClickAsync();
        await Assertions.Expect(tab.Page.GetByText("所有样本均可使用。")).ToBeVisibleAsync();
        await tab.Button("估算显存").ClickAsync();
        await Assertions
            .Expect(tab.Page.Locator(".verdict.good").Last)
            .ToContainTextAsync("够用", new() { Timeout = 120_000 });
        Assert.Equal(
            390,
            await tab.Page.EvaluateAsync<int>(
                "Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth)"
            )
        );
        await tab.AccessibleAsync();
        await tab.ShootWholeAsync("studio-phone-zh");
    }

    [Fact]
    public async Task A_job_that_died_says_so_and_what_it_said_last()
    {
        await using var studio = await RunningStudio.StartAsync();
        var folder = new Studio.Jobs.JobFolder(Path.Combine(studio.Folder, "output", ".studio", "jobs", "gone"));
        Directory.CreateDirectory(folder.FullPath);
        var gone = Files.LockOwner.Current("gone") with { Started = "0" };
        folder.Write(
            new Studio.Jobs.JobRecord
            {
                Name = "gone",
                Arguments = ["train", ".", "models/glm-nano", "recipe.yaml"],
                WorkingFolder = studio.Folder,
                Created = DateTimeOffset.UnixEpoch,
                Launcher = gone,
                Process = gone,
                Stage = Studio.Jobs.JobStage.Running,
            }
        );
        File.WriteAllText(folder.LogPath, "step 7\n<b>last words</b>\n");
        await using var tab = await OpenAsync($"{studio.App.Urls.Single()}/#key={RunningStudio.Key}");
        await tab.Button("gone died").ClickAsync();
        await Assertions.Expect(tab.Page.Locator("main .error-box pre")).ToHaveTextAsync("step 7\n<b>last words</b>");
        await tab.ShootAsync("studio-died");
    }

    [Fact]
    public async Task Without_the_key_the_page_asks_for_it()
    {
        await using var studio = await RunningStudio.StartAsync();
        await using var tab = await OpenAsync(studio.App.Urls.Single());
        tab.Expected.Add("401");
        await tab.Page.Locator("#key-field").FillAsync(RunningStudio.Key);
        await tab.Button("Save").ClickAsync();
        await Assertions
            .Expect(tab.Page.GetByLabel("Model", new() { Exact = true }))
            .ToHaveValueAsync("models/glm-nano");
    }
}
