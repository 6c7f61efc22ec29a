using System.Text.Json.Nodes;
using GlmTune.Data.Templates;
using GlmTune.Inference;
using GlmTune.Inference.Tests;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using TorchSharp;

namespace GlmTune.Server.Tests;

public sealed class AdapterTests
{
    private static readonly string[] Kinds = ["lora", "rslora", "prefix"];

    [Fact]
    public async Task Requests_choose_the_adapter_by_the_models_name_side_by_side_in_one_batch()
    {
        NativeRuntime.Load();
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), torch.ScalarType.Float32, torch.CPU);
        using var adapters = new ServedAdapters(model);
        foreach (var kind in Kinds)
        {
            adapters.Load(kind, GoldenData.Path($"glm-tiny/adapter-{kind}"));
        }

        using var chat = new ChatModel(
            model,
            new Glm4Template(ScriptedChat.Bytes),
            new GenerationOptions { DoSample = false }
        );
        string?[] names = [null, .. Kinds];
        var expected = new List<string>();
        foreach (var name in names)
        {
            expected.Add(
                (
                    await chat
                        .Scheduler.StreamAsync(Request(name))
                        .Where(token => token.Finish != FinishReason.Stop)
                        .Select(token => token.Id)
                        .ToListAsync()
                ).Aggregate("", (text, id) => $"{text} {id}")
            );
        }

        Assert.Equal(names.Length, expected.Distinct().Count());
        await using var app = ChatServer.Create(
            new ServedModels([
                new ServedModel("base", chat),
                .. Kinds.Select(kind => new ServedModel(kind, chat) { Adapter = kind, Parent = "base" }),
            ]),
            new ServerOptions { Port = 0 }
        );
        await app.StartAsync(TestContext.Current.CancellationToken);
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var answers = await Task.WhenAll(
            Enumerable
                .Range(0, 12)
                .Select(async i =>
                {
                    var (_, body) = await http.PostAsync(
                        "/v1/completions",
                        $$"""{"model":"{{names[i % 4] ?? "base"}}","prompt":[{{string.Join(',', Prompt)}}],"temperature":0,"max_tokens":8,"logprobs":0}"""
                    );
                    return (
                        body["model"]!.GetValue<string>(),
                        string.Concat(
                            body["choices"]![0]!["logprobs"]!["tokens"]!
                                .AsArray()
                                .Select(token => token!.GetValue<string>())
                        )
                    );
                })
        );
        for (var i = 0; i < answers.Length; i++)
        {
            Assert.Equal(names[i % 4] ?? "base", answers[i].Item1);
            Assert.Equal(Text(expected[i % 4]), answers[i].Item2);
        }

        var list = JsonNode.Parse(await http.GetStringAsync("/v1/models", TestContext.Current.CancellationToken))![
            "data"
        ]!.AsArray();
        Assert.Equal([null, "base", "base", "base"], list.Select(one => one!["parent"]?.GetValue<string>()));
        await app.StopAsync(TestContext.Current.CancellationToken);
    }

    private static int[] Prompt => [257, 258, 263, 10, .. "Hello there, which adapter is it?".Select(c => (int)c), 264];

    private static GenerationRequest Request(string? adapter) =>
        new(Prompt)
        {
            Adapter = adapter,
            Options = new GenerationOptions { MaxNewTokens = 8, DoSample = false },
        };

    private static string Text(string ids) =>
        string.Concat(
            ids.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Select(id =>
                    ScriptedChat.Bytes.Decode(
                        [int.Parse(id, System.Globalization.CultureInfo.InvariantCulture)],
                        skipSpecial: false
                    )
                )
        );
}
