using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Server;
using GlmTune.Training;
using Microsoft.Playwright;

namespace GlmTune.Browser.Tests;

/// <summary>The whole way on the repository's small model: a run is trained while the page follows it, then served, and
/// asked beside its base.</summary>
public sealed class NanoTests(Chromium chromium) : BrowserTests(chromium)
{
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-nano-").FullName;

    [Fact]
    public async Task A_real_run_is_followed_and_its_adapter_answers_beside_the_base()
    {
        var root = Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));
        var nano = Path.Combine(root, "models", "glm-nano");
        var output = Path.Combine(folder, "tuned");
        var recipe = RecipeFile.Read(
            Path.Combine(root, "configs", "lora-nano.yaml"),
            [
                $"training_args.output_dir={output}",
                "training_args.max_steps=6",
                "training_args.logging_steps=1",
                "training_args.eval_strategy=no",
                "data_config.val_file=null",
                "data_config.test_file=null",
                "data_config.max_train_samples=64",
                "training_args.use_cpu=true",
                "training_args.learning_rate=1e-2",
            ]
        );
        using var looked = new SemaphoreSlim(0);
        using var chat = TunedChat.Load(nano, new TunedChatOptions { Device = "cpu" });
        await using var server = ChatServer.Create(
            new ServedModels(new ServedModel("glm-nano", chat.Chat)),
            new ServerOptions { Port = 0, RunFolders = [folder] }
        );
        await server.StartAsync();
        await using var tab = await OpenAsync(server.Urls.First() + "/runs");

        // The run waits after its third step, until the page has shown it.
        var training = Task.Run(() =>
            RunLogger.Of(
                recipe,
                nano,
                "data/ads",
                new Waiting(3, looked),
                reporter =>
                    FineTune.Run(
                        recipe,
                        Path.Combine(root, "data", "ads"),
                        nano,
                        null,
                        reporter,
                        CancellationToken.None
                    )
            )
        );
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("3 of 6", new() { Timeout = 60_000 });
        await Assertions.Expect(tab.Page.Locator("main .state")).ToHaveTextAsync("running");
        looked.Release();
        var result = await training;
        await Assertions.Expect(tab.Page.Locator(".progress")).ToContainTextAsync("6 of 6");
        await Assertions.Expect(tab.Page.Locator("main .state")).ToHaveTextAsync("finished");
        Assert.NotEmpty(Directory.GetFiles(Path.Combine(output, "plots"), "*.png"));

        using var tuned = TunedChat.Load(
            nano,
            new TunedChatOptions { Device = "cpu", Adapters = [KeyValuePair.Create("tuned", result.Checkpoint!)] }
        );
        await using var both = ChatServer.Create(
            new ServedModels(
                new ServedModel("glm-nano", tuned.Chat),
                new ServedModel("tuned", tuned.Chat) { Adapter = "tuned", Parent = "glm-nano" }
            ),
            new ServerOptions { Port = 0 }
        );
        await both.StartAsync();
        await using var pair = await OpenAsync(both.Urls.First());
        await pair.Button("Compare two models").ClickAsync();
        await pair.Button("Settings").ClickAsync();
        await pair.Page.GetByLabel("Temperature", new() { Exact = true }).FillAsync("0");
        await pair.Page.GetByLabel("Max tokens", new() { Exact = true }).FillAsync("32");
        await pair.AskAsync("类型#裙*材质#棉*颜色#白色");
        await Assertions
            .Expect(pair.Page.Locator(".reply .figures"))
            .ToHaveTextAsync([
                new System.Text.RegularExpressions.Regex(@"\d+ tokens"),
                new System.Text.RegularExpressions.Regex(@"\d+ tokens"),
            ]);
        var answers = await pair.Page.Locator(".reply .markdown").AllTextContentsAsync();
        Assert.Equal(2, answers.Count);
        Assert.All(answers, answer => Assert.NotEmpty(answer));
        await pair.ShootAsync("nano-compare");
    }

    public override void Dispose()
    {
        Directory.Delete(folder, recursive: true);
        base.Dispose();
    }

    private sealed class Waiting(long step, SemaphoreSlim until) : IFineTuneReporter
    {
        private bool hasWaited;

        public void Note(string text) { }

        public void Started(FineTuneStart start) { }

        // What is logged of a step is already written when the next one ends.
        public void Stepped(StepReport report)
        {
            if (report.Step > step && !hasWaited)
            {
                hasWaited = true;
                until.Wait(TimeSpan.FromMinutes(2));
            }
        }

        public void Logged(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Saved(string folder) { }
    }
}
