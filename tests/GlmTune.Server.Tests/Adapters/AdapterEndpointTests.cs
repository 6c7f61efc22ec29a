using System.Net;
using System.Text.Json.Nodes;
using GlmTune.Data.Templates;
using GlmTune.Inference;
using GlmTune.Inference.Tests;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using Microsoft.AspNetCore.Builder;
using TorchSharp;

namespace GlmTune.Server.Tests.Adapters;

/// <summary>Adapters that come and go while the server answers.</summary>
public sealed class AdapterEndpointTests : IAsyncLifetime
{
    private static readonly string Prompt = string.Join(',', "Which adapter?".Select(c => (int)c));

    private readonly TemporaryFolder folder = new();
    private readonly ManualResetEventSlim gate = new(true);
    private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly DecoderModel model;
    private readonly ServedAdapters served;
    private readonly ChatModel chat;
    private readonly WebApplication app;
    private readonly HttpClient http = new();

    static AdapterEndpointTests() => NativeRuntime.Load();

    public AdapterEndpointTests()
    {
        model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), torch.ScalarType.Float32, torch.CPU);
        served = new ServedAdapters(model);
        chat = new ChatModel(
            new GatedModel(model, gate, reached),
            new Glm4Template(ScriptedChat.Bytes),
            new GenerationOptions { DoSample = false }
        );
        foreach (var name in (string[])["lora", "rslora", "prefix"])
        {
            Copy(name, folder.At("allowed", name));
        }

        app = ChatServer.Create(
            new ServedModels([new ServedModel("base", chat)]),
            new ServerOptions { Port = 0 },
            adapters: new Loader(folder.At("allowed"), served, chat.Scheduler.Generator)
        );
    }

    [Fact]
    public async Task An_adapter_is_loaded_answers_and_is_unloaded()
    {
        var plain = await AnswerAsync("base");
        var answers = new List<string> { plain };
        foreach (var name in (string[])["lora", "prefix"])
        {
            // Absolute, and from the allowed folder on.
            var path = name == "lora" ? folder.At("allowed", name) : name;
            Assert.Equal(HttpStatusCode.OK, (await LoadAsync(name, path)).Status);
            answers.Add(await AnswerAsync(name));
        }

        Assert.Equal(3, answers.Distinct().Count());
        Assert.Equal(["base", "lora", "prefix"], await ListedAsync());
        Assert.Equal(HttpStatusCode.OK, (await UnloadAsync("lora")).Status);
        Assert.Equal(["base", "prefix"], await ListedAsync());
        Assert.Equal(HttpStatusCode.NotFound, (await CompleteAsync("lora")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await UnloadAsync("lora")).Status);
        Assert.Equal(plain, await AnswerAsync("base"));
        // Another one may have the name; nothing that the first one left in the cache is found.
        Assert.Equal(HttpStatusCode.OK, (await LoadAsync("lora", "rslora")).Status);
        Assert.DoesNotContain(await AnswerAsync("lora"), answers);
    }

    [Fact]
    public async Task Unloading_waits_for_the_requests_that_use_the_adapter()
    {
        await LoadAsync("lora", "lora");
        var expected = await AnswerAsync("lora");
        gate.Reset();
        var answer = AnswerAsync("lora");
        await reached.Task;
        var unloading = UnloadAsync("lora");
        while ((await ListedAsync()).Contains("lora"))
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
        }

        Assert.Equal(HttpStatusCode.NotFound, (await CompleteAsync("lora")).Status);
        var again = await LoadAsync("lora", "lora");
        Assert.Equal(HttpStatusCode.BadRequest, again.Status);
        Assert.Contains("still answered", again.Message, StringComparison.Ordinal);
        Assert.False(unloading.IsCompleted || answer.IsCompleted);
        gate.Set();
        Assert.Equal(expected, await answer);
        Assert.Equal(HttpStatusCode.OK, (await unloading).Status);
        Assert.Empty(served.All);
    }

    [Fact]
    public async Task Only_folders_below_the_allowed_one_are_read()
    {
        Copy("lora", folder.At("elsewhere"));
        Directory.CreateSymbolicLink(folder.At("allowed", "link"), folder.At("elsewhere"));
        Copy("lora", folder.At("allowed", "file"));
        File.Delete(folder.At("allowed", "file", "adapter_config.json"));
        File.CreateSymbolicLink(
            folder.At("allowed", "file", "adapter_config.json"),
            folder.At("elsewhere", "adapter_config.json")
        );
        foreach (
            var path in (string[])
                ["../elsewhere", folder.At("elsewhere"), "link", "lora/../../elsewhere", "/etc", "file", "../allowed2"]
        )
        {
            Assert.Equal((HttpStatusCode.Forbidden, "lora_path"), Param(await LoadAsync("x", path)));
        }

        // A link that stays inside is followed.
        Directory.CreateSymbolicLink(folder.At("allowed", "inside"), folder.At("allowed", "lora"));
        Assert.Equal(HttpStatusCode.OK, (await LoadAsync("x", "inside")).Status);
    }

    [Fact]
    public async Task Requests_that_cannot_be_met_are_explained()
    {
        await LoadAsync("lora", "lora");
        Directory.CreateDirectory(folder.At("allowed", "empty"));
        (string Endpoint, string Body, string Param, string Message)[] wrong =
        [
            ("load", """{"lora_path":"lora"}""", "lora_name", "is missing"),
            ("load", """{"lora_name":"x"}""", "lora_path", "is missing"),
            ("load", """{"lora_name":"","lora_path":"lora"}""", "lora_name", "1 to 256"),
            ("load", """{"lora_name":"a\nb","lora_path":"lora"}""", "lora_name", "control characters"),
            ("load", """{"lora_name":"x","lora_path":"lora","load_inplace":true}""", "load_inplace", "not supported"),
            ("load", """{"lora_name":"x","lora_path":5}""", "lora_path", "expected a string"),
            ("load", """{"lora_name":"lora","lora_path":"lora"}""", "lora_name", "loaded already"),
            ("load", """{"lora_name":"base","lora_path":"lora"}""", "lora_name", "loaded already"),
            ("load", """{"lora_name":"x","lora_path":"none"}""", "lora_path", "There is no folder 'none'"),
            ("load", """{"lora_name":"x","lora_path":"empty"}""", "lora_path", "adapter_config.json"),
            ("load", """{"lora_name":"x","lora_path":"a\u0000b"}""", "lora_path", "--adapter-root"),
            ("unload", "{}", "lora_name", "is missing"),
            ("unload", """{"lora_name":"base"}""", "lora_name", "is not an adapter"),
            ("unload", """{"lora_name":"x"}""", "lora_name", "not loaded; loaded: lora"),
        ];
        foreach (var (endpoint, body, param, message) in wrong)
        {
            var answer = await SendAsync(endpoint, body);
            Assert.Equal(param, answer.Param);
            Assert.Contains(message, answer.Message, StringComparison.Ordinal);
            Assert.InRange((int)answer.Status, 400, 404);
        }

        Assert.Equal(["base", "lora"], await ListedAsync());
    }

    [Fact]
    public async Task It_is_off_unless_it_was_allowed()
    {
        await using var other = ChatServer.Create(
            new ServedModels([new ServedModel("base", chat)]),
            new ServerOptions { Port = 0 }
        );
        await other.StartAsync(TestContext.Current.CancellationToken);
        using var client = new HttpClient { BaseAddress = new Uri(other.Urls.Single()) };
        var (status, _) = await client.PostAsync("/v1/load_lora_adapter", """{"lora_name":"x","lora_path":"lora"}""");
        Assert.Equal(HttpStatusCode.NotFound, status);
        await other.StopAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask InitializeAsync()
    {
        await app.StartAsync(TestContext.Current.CancellationToken);
        http.BaseAddress = new Uri(app.Urls.Single());
    }

    public async ValueTask DisposeAsync()
    {
        gate.Set();
        http.Dispose();
        await app.StopAsync();
        await app.DisposeAsync();
        chat.Dispose();
        served.Dispose();
        model.Dispose();
        gate.Dispose();
        folder.Dispose();
    }

    private static void Copy(string adapter, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.EnumerateFiles(GoldenData.Path($"glm-tiny/adapter-{adapter}")))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
    }

    private static (HttpStatusCode, string?) Param((HttpStatusCode Status, string? Param, string Message) answer) =>
        (answer.Status, answer.Param);

    private Task<(HttpStatusCode Status, string? Param, string Message)> LoadAsync(string name, string path) =>
        SendAsync("load", new JsonObject { ["lora_name"] = name, ["lora_path"] = path }.ToJsonString());

    private Task<(HttpStatusCode Status, string? Param, string Message)> UnloadAsync(string name) =>
        SendAsync("unload", new JsonObject { ["lora_name"] = name }.ToJsonString());

    private async Task<(HttpStatusCode Status, string? Param, string Message)> SendAsync(string what, string body)
    {
        using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        using var answer = await http.PostAsync(
            $"/v1/{what}_lora_adapter",
            content,
            TestContext.Current.CancellationToken
        );
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        if (answer.IsSuccessStatusCode)
        {
            return (answer.StatusCode, null, text);
        }

        var error = JsonNode.Parse(text)!["error"]!;
        return (answer.StatusCode, error["param"]?.GetValue<string>(), error["message"]!.GetValue<string>());
    }

    private Task<(HttpStatusCode Status, JsonNode Body)> CompleteAsync(string name) =>
        http.PostAsync(
            "/v1/completions",
            $$"""{"model":"{{name}}","prompt":[{{Prompt}}],"temperature":0,"max_tokens":8,"logprobs":0}"""
        );

    private async Task<string> AnswerAsync(string name)
    {
        var (status, body) = await CompleteAsync(name);
        Assert.Equal(HttpStatusCode.OK, status);
        return body["choices"]![0]!["logprobs"]!["tokens"]!.ToJsonString();
    }

    private async Task<IEnumerable<string>> ListedAsync() =>
        JsonNode.Parse(await http.GetStringAsync("/v1/models", TestContext.Current.CancellationToken))!["data"]!
            .AsArray()
            .Select(one => one!["id"]!.GetValue<string>());

    private sealed class Loader(string root, ServedAdapters served, Generator generator) : IAdapterLoader
    {
        public string Root { get; } = Files.RealPath.Of(root);

        public void Load(string name, string folder) => generator.BetweenPasses(() => served.Load(name, folder));

        public void Unload(string name) => generator.BetweenPasses(() => served.Unload(name));
    }

    // Its passes wait at a gate.
    private sealed class GatedModel(ICausalLm inner, ManualResetEventSlim gate, TaskCompletionSource reached)
        : DelegatingCausalLm(inner)
    {
        public override torch.Tensor Logits(
            int[] tokenIds,
            SequenceLayout sequences,
            CacheStep? cache = null,
            bool lastOnly = false,
            IReadOnlyList<ServedAdapter?>? adapters = null
        )
        {
            if (!gate.IsSet)
            {
                reached.TrySetResult();
            }

            gate.Wait();
            return base.Logits(tokenIds, sequences, cache, lastOnly, adapters);
        }
    }
}
