using System.Net;
using System.Text.Json.Nodes;

namespace GlmTune.Studio.Tests;

public sealed class SetupTests
{
    private const string Model = "models/glm-nano";

    private const string Recipe = """
        # for the test
        data_config:
          train_file: data/ads/train.jsonl
        max_input_length: 128
        max_output_length: 128
        training_args:
          max_steps: 2
        peft_config:
          peft_type: LORA
          r: 4
        """;

    [Fact]
    public async Task Models_data_and_recipes_are_offered_by_the_names_that_commands_take()
    {
        await using var studio = await RunningStudio.StartAsync();
        File.WriteAllText(Path.Combine(studio.Folder, "data", "settings.json"), "{}");
        File.WriteAllText(Path.Combine(studio.Folder, "data", "list.json"), "\n[]");
        var offered = await studio.GetAsync("/api/studio");
        var model = Assert.Single(offered["models"]!.AsArray())!;
        Assert.Equal(Model, (string?)model["name"]);
        Assert.True((long)model["parameters"]! > 0);
        Assert.Equal(
            ["data/list.json", "data/ads/dev.jsonl", "data/ads/test.jsonl", "data/ads/train.jsonl"],
            offered["data"]!.AsArray().Select(file => (string)file!["name"]!)
        );
        Assert.Contains(offered["recipes"]!.AsArray(), recipe => (string?)recipe!["name"] == "lora-nano");
        Assert.Equal("output", (string?)offered["output"]);
    }

    [Fact]
    public async Task A_damaged_model_is_offered_with_its_problem()
    {
        await using var studio = await RunningStudio.StartAsync();
        File.WriteAllText(Path.Combine(studio.Folder, Model, "config.json"), "{");
        var model = Assert.Single((await studio.GetAsync("/api/studio?lang=zh"))["models"]!.AsArray())!;
        Assert.StartsWith("译：", (string?)model["problem"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_form_has_fields_with_kinds_defaults_and_both_languages()
    {
        await using var studio = await RunningStudio.StartAsync();
        var fields = (await studio.GetAsync("/api/studio/form"))["fields"]!.AsArray();
        var rank = fields.Single(field => (string?)field!["path"] == "peft_config.r")!;
        Assert.Equal(
            ("whole", "8", "LORA"),
            ((string?)rank["kind"], (string?)rank["default"], (string?)rank["adapter"])
        );
        Assert.Equal(2, rank["meaning"]!.AsArray().Distinct().Count());
        Assert.Equal(1, (double)rank["least"]!);
    }

    [Fact]
    public async Task A_key_set_in_the_form_is_in_the_text_and_the_text_is_read_back()
    {
        await using var studio = await RunningStudio.StartAsync();
        var view = await studio.PostAsync(
            "/api/studio/recipe",
            new
            {
                recipe = Recipe,
                set = new Dictionary<string, string?>
                {
                    ["training_args.learning_rate"] = "1e-3",
                    ["peft_config.r"] = null,
                },
            }
        );
        Assert.Equal("1e-3", (string?)view["values"]!["training_args.learning_rate"]);
        Assert.Contains("# for the test", (string?)view["text"], StringComparison.Ordinal);
        Assert.Contains("  learning_rate: 1e-3", (string?)view["text"], StringComparison.Ordinal);
        Assert.DoesNotContain("r: 4", (string?)view["text"], StringComparison.Ordinal);
        Assert.Empty(view["problems"]!.AsArray());
    }

    [Fact]
    public async Task Problems_of_a_recipe_come_all_at_once_in_the_language_of_the_page()
    {
        await using var studio = await RunningStudio.StartAsync();
        var view = await studio.PostAsync(
            "/api/studio/recipe?lang=zh",
            new { recipe = Recipe.Replace("r: 4", "r: many\n  rr: 1", StringComparison.Ordinal) }
        );
        Assert.Equal(2, view["problems"]!.AsArray().Count);
        Assert.All(
            view["problems"]!.AsArray(),
            line => Assert.StartsWith("译：", (string?)line, StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task Data_is_checked_and_its_first_rows_say_what_has_loss()
    {
        await using var studio = await RunningStudio.StartAsync();
        var found = await studio.PostAsync("/api/studio/check", new { model = Model, recipe = Recipe });
        var file = Assert.Single(found["files"]!.AsArray())!;
        Assert.Equal(("train", "data/ads/train.jsonl"), ((string?)file["split"], (string?)file["file"]));
        Assert.Equal((int)file["rows"]!, (int)file["usable_rows"]!);
        Assert.Empty(file["errors"]!.AsArray());
        var rows = found["rows"]!.AsArray();
        Assert.Equal(5, rows.Count);
        Assert.All(
            rows,
            row =>
            {
                var stretches = row!["stretches"]!.AsArray();
                Assert.Contains(stretches, stretch => (bool)stretch!["supervised"]!);
                Assert.Contains("<|user|>", (string?)stretches[0]!["text"], StringComparison.Ordinal);
                Assert.False((bool)stretches[0]!["supervised"]!);
            }
        );
    }

    [Fact]
    public async Task Bad_rows_are_named_and_the_others_shown()
    {
        await using var studio = await RunningStudio.StartAsync();
        File.WriteAllText(
            Path.Combine(studio.Folder, "data", "bad.jsonl"),
            """
            {"messages": [{"role": "user", "content": "a"}]}
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
            not JSON

            """
        );
        var found = await studio.PostAsync(
            "/api/studio/check",
            new { model = Model, recipe = Recipe.Replace("ads/train", "bad", StringComparison.Ordinal) }
        );
        var file = Assert.Single(found["files"]!.AsArray())!;
        Assert.Equal((3, 1), ((int)file["rows"]!, (int)file["usable_rows"]!));
        Assert.Equal(2, file["errors"]!.AsArray().Count);
        Assert.Contains(found["rows"]!.AsArray(), row => (int)row!["line"]! == 2);
    }

    [Fact]
    public async Task A_plan_says_whether_a_run_fits()
    {
        await using var studio = await RunningStudio.StartAsync();
        async Task<JsonNode> Plan(string memory) =>
            await studio.PostAsync(
                "/api/studio/plan?lang=zh",
                new
                {
                    model = Model,
                    recipe = Recipe,
                    gpu_memory = memory,
                }
            );
        var large = await Plan("24GB");
        Assert.True((bool)large["fits"]!);
        Assert.All(
            large["device"]!.AsArray(),
            part => Assert.StartsWith("译：", (string?)part!["name"], StringComparison.Ordinal)
        );
        Assert.False((bool)(await Plan("64MiB"))["fits"]!);
        Assert.Empty(Directory.GetFiles(Path.Combine(studio.Folder, "output", ".studio"), "plan-*"));
    }

    [Fact]
    public async Task Files_outside_of_the_roots_are_not_read()
    {
        await using var studio = await RunningStudio.StartAsync();
        var outside = Directory.CreateTempSubdirectory("glmtune-outside-").FullName;
        try
        {
            File.WriteAllText(
                Path.Combine(outside, "rows.jsonl"),
                """{"messages": [{"role": "user", "content": "secret"}, {"role": "assistant", "content": "b"}]}"""
            );
            File.WriteAllText(Path.Combine(outside, "plan.json"), "not JSON: secret");
            File.CreateSymbolicLink(
                Path.Combine(studio.Folder, "data", "link.jsonl"),
                Path.Combine(outside, "rows.jsonl")
            );
            foreach (
                var recipe in (string[])
                    [
                        Recipe.Replace(
                            "data/ads/train.jsonl",
                            Path.Combine(outside, "rows.jsonl"),
                            StringComparison.Ordinal
                        ),
                        Recipe.Replace("data/ads/train.jsonl", "data/link.jsonl", StringComparison.Ordinal),
                        Recipe.Replace("max_steps: 2", $"deepspeed: {outside}/plan.json", StringComparison.Ordinal),
                        Recipe.Replace("max_steps: 2", $"logging_dir: {outside}", StringComparison.Ordinal),
                        Recipe.Replace("max_steps: 2", "resume_from_checkpoint: yes", StringComparison.Ordinal),
                    ]
            )
            {
                foreach (var path in (string[])["check", "plan", "jobs"])
                {
                    var reply = await studio.PostAsync(
                        $"/api/studio/{path}",
                        new
                        {
                            model = Model,
                            recipe,
                            name = "run",
                            gpu_memory = "24GB",
                        },
                        HttpStatusCode.BadRequest
                    );
                    Assert.DoesNotContain("secret", reply.ToJsonString(), StringComparison.Ordinal);
                }
            }

            Assert.Empty((await studio.GetAsync("/api/studio/jobs"))["jobs"]!.AsArray());
            Assert.DoesNotContain(
                (await studio.GetAsync("/api/studio"))["data"]!.AsArray(),
                file => ((string)file!["name"]!).Contains("link", StringComparison.Ordinal)
            );
        }
        finally
        {
            Directory.Delete(outside, recursive: true);
        }
    }

    [Theory]
    [InlineData("../outside")]
    [InlineData(".hidden")]
    [InlineData("a/b")]
    [InlineData("")]
    [InlineData("a\nb")]
    public async Task A_run_has_a_plain_name(string name)
    {
        await using var studio = await RunningStudio.StartAsync();
        await studio.PostAsync(
            "/api/studio/jobs",
            new
            {
                model = Model,
                recipe = Recipe,
                name,
            },
            HttpStatusCode.BadRequest
        );
    }

    [Fact]
    public async Task A_model_that_is_not_listed_is_not_used()
    {
        await using var studio = await RunningStudio.StartAsync();
        foreach (var model in (string[])["/etc", "..", "models", "models/glm-nano/."])
        {
            await studio.PostAsync("/api/studio/check", new { model, recipe = Recipe }, HttpStatusCode.BadRequest);
        }
    }
}
