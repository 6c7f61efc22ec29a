using System.Text.Json.Nodes;

namespace GlmTune.Studio.Tests;

public sealed class ChatTests
{
    private const string Recipe = """
        data_config:
          train_file: data/ads/train.jsonl
          max_train_samples: 8
        max_input_length: 64
        max_output_length: 64
        training_args:
          max_steps: 1
          use_cpu: true
          per_device_train_batch_size: 1
        peft_config:
          peft_type: LORA
          r: 2
        """;

    [Fact]
    public async Task A_checkpoint_answers_beside_its_base_through_the_studio()
    {
        await using var studio = await RunningStudio.StartAsync();
        await studio.PostAsync(
            "/api/studio/jobs",
            new
            {
                model = "models/glm-nano",
                recipe = Recipe,
                name = "short",
            }
        );
        var job = (await studio.JobAsync("short", each => (string?)each["state"] != "running"))["job"]!;
        Assert.Equal("finished", (string?)job["state"]);

        await studio.PostAsync("/api/studio/chat", new { run = (string?)job["run"] });
        JsonNode chat;
        do
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
            chat = await studio.GetAsync("/api/studio/chat");
        } while ((string?)chat["state"] == "loading");

        Assert.True((string?)chat["state"] == "ready", chat.ToJsonString());
        Assert.Equal("short-1", (string?)chat["title"]);
        var models = (await studio.GetAsync("/v1/models"))["data"]!.AsArray();
        Assert.Equal(["glm-nano", "short-1"], models.Select(model => (string)model!["id"]!));

        // A page sends its origin, which the process with the model need not know.
        studio.Http.DefaultRequestHeaders.Add("Origin", studio.App.Urls.Single());
        var answer = await studio.PostAsync(
            "/v1/chat/completions",
            new
            {
                model = "short-1",
                max_tokens = 3,
                messages = new[] { new { role = "user", content = "类型#裙" } },
            }
        );
        Assert.Equal("assistant", (string?)answer["choices"]![0]!["message"]!["role"]);

        var ended = await studio.PostAsync("/api/studio/chat/stop", new { });
        Assert.Equal("none", (string?)ended["state"]);
    }
}
