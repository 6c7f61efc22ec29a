using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using GlmTune.Checkpoints;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates.Jinja;
using GlmTune.Data.Tokenization;
using GlmTune.Files.Json;
using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes;
using GlmTune.Runs;
using GlmTune.Server;
using GlmTune.Weights;

namespace GlmTune.Fuzz;

/// <summary>The parsers of everything that others write: files and request bodies.</summary>
/// <param name="folder">A folder for the files, which is deleted at the end.</param>
internal sealed class FuzzTargets(string folder) : IDisposable
{
    private static readonly JsonElement TemplateValues = JsonSerializer.SerializeToElement(
        new
        {
            messages = new[] { new { role = "user", content = "q" }, new { role = "assistant", content = "a" } },
            add_generation_prompt = true,
            tools = new[] { new { name = "f" } },
        }
    );

    /// <summary>Targets in a temporary folder.</summary>
    public FuzzTargets()
        : this(Directory.CreateTempSubdirectory("glmtune-fuzz-").FullName) { }

    /// <summary>All targets.</summary>
    public IReadOnlyList<FuzzTarget> All =>
        [
            new("json", Json, ["\"a\":", "\\u0041", "1.5e-3"]),
            new(
                "safetensors",
                input => OpenWeights("model.safetensors", input),
                ["\"dtype\":\"F32\"", "\"BF16\"", "\"shape\":[2,2]", "\"data_offsets\":[0,16]", "__metadata__"]
            )
            {
                Seeds =
                [
                    Safetensors("{}", 0),
                    Safetensors("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}""", 16),
                    Safetensors(
                        """{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},"b":{"dtype":"I64","shape":[],"data_offsets":[6,14]}}""",
                        14
                    ),
                ],
            },
            new(
                "index",
                Index,
                ["\"weight_map\":", "\"metadata\":", "\"total_size\":", "model-00001-of-00002.safetensors"]
            ),
            new(
                "config",
                input => ModelConfig.Read(FolderWith(ModelConfig.FileName, input)),
                ["\"num_layers\":", "\"model_type\":\"chatglm\"", "\"glm4\"", "\"rope_ratio\":", "\"rope_parameters\":"]
            ),
            new(
                "generation-config",
                input => GenerationConfigFile.Read(FileOf("generation_config.json", input)),
                ["\"eos_token_id\":", "\"temperature\":", "\"top_p\":"]
            ),
            new(
                "adapter",
                Adapter,
                [
                    "\"peft_type\":\"LORA\"",
                    "\"PREFIX_TUNING\"",
                    "\"r\":",
                    "\"target_modules\":",
                    "\"rank_pattern\":",
                    "\"num_virtual_tokens\":",
                ]
            ),
            new(
                "tokenizer-model",
                input => TokenRanks.Parse(input, "tokenizer.model"),
                ["IQ== 0\n", "AAA= 256\n", " "]
            ),
            new(
                "sentencepiece",
                input =>
                    new SentencePieceEncoder(SentencePieceModel.Parse(input, "tokenizer.model")).AppendTo(
                        [],
                        "hello 你好"
                    ),
                ["<0x0A>", "\u2581he", "\n\u000e\n\u0005<unk>"]
            ),
            new(
                "tokenizer-json",
                input => TokenizerFile.Read(FolderWith("tokenizer.json", input)),
                ["\"model\":", "\"vocab\":", "\"merges\":", "\"added_tokens\":", "\"Ġ\":"]
            )
            {
                Seeds = [TokenizerJson()],
            },
            new(
                "recipe",
                input => RecipeFile.Read(new StringReader(Encoding.UTF8.GetString(input)), "recipe.yaml"),
                [
                    "peft_config:",
                    "training_args:",
                    "&a",
                    "*a",
                    "!!int",
                    "<<:",
                    "- ",
                    "|\n",
                    "\"\\e[31m\"",
                    "? ",
                    "--- ",
                    "%YAML",
                ]
            ),
            new(
                "deepspeed",
                input => DeepSpeedFile.Read(FileOf("ds.json", input)),
                ["\"zero_optimization\":", "\"stage\":3", "\"auto\"", "\"bf16\":", "\"optimizer\":", "1e8"]
            ),
            new(
                "rows",
                Rows,
                [
                    "\"messages\":",
                    "\"role\":\"tool\"",
                    "\"tool_calls\":",
                    "\"content\":",
                    "\"loss\":",
                    "\"conversations\":",
                    "\"tools\":",
                ]
            ),
            new(
                "template",
                Template,
                [
                    "{% for m in messages %}",
                    "{% endfor %}",
                    "{% if ",
                    "{% endif %}",
                    "{{ ",
                    " }}",
                    "{% set x = ",
                    "range(1000000000)",
                    " * 1000000000",
                    " ** 99999",
                    "|tojson",
                    "namespace(a=1)",
                    "{% macro f(a) %}",
                    "{% endmacro %}",
                    "~",
                    "[::-1]",
                    "loop.index",
                ]
            )
            {
                IsDocumented = static error => error is JinjaException,
            },
            new("log", Log, ["\"event\":\"step\"", "\"event\":\"start\"", "\"step\":", "\"loss\":", "\"time\":"]),
            new("trainer-state", State, ["\"log_history\":", "\"global_step\":", "NaN", "-Infinity", "\"epoch\":"]),
            new(
                "run",
                input => RunDescription.Parse(input, "run.json").ToJson().ToJsonString(),
                ["\"recipe\":", "\"started\":", "\"versions\":"]
            ),
            new(
                "body",
                Body,
                [
                    "\"messages\":",
                    "\"role\":\"user\"",
                    "\"tools\":",
                    "\"tool_choice\":",
                    "\"response_format\":",
                    "\"stop\":",
                    "\"logit_bias\":",
                    "\"stream\":true",
                ]
            )
            {
                IsDocumented = static error => error is ApiException or JsonException,
            },
        ];

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(folder, recursive: true);

    private static void Json(byte[] input) => Touch(JsonFile.Parse(input, "file.json"));

    // Every name and string is text: later code may read them all.
    private static void Touch(JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var property in value.EnumerateObject())
                {
                    _ = property.Name.Length;
                    Touch(property.Value);
                }

                break;
            case JsonValueKind.Array:
                foreach (var item in value.EnumerateArray())
                {
                    Touch(item);
                }

                break;
            case JsonValueKind.String:
                _ = value.GetString()!.Length;
                break;
        }
    }

    private static byte[] Safetensors(string header, int dataBytes)
    {
        var text = Encoding.UTF8.GetBytes(header);
        var file = new byte[8 + text.Length + dataBytes];
        BinaryPrimitives.WriteInt64LittleEndian(file, text.Length);
        text.CopyTo(file, 8);
        return file;
    }

    private void OpenWeights(string name, byte[] input)
    {
        var path = FolderWith(name, input);
        using var weights = WeightFiles.Open(path);
        var bytes = new byte[16];
        foreach (var tensor in weights.Tensors)
        {
            tensor.CopyTo(bytes.AsSpan(0, (int)Math.Min(bytes.Length, tensor.ByteCount)), 0);
        }
    }

    // Beside the two parts that the corpus names.
    private void Index(byte[] input)
    {
        var path = FolderWith("model.safetensors.index.json", input);
        foreach (var (part, name) in new[] { ("model-00001-of-00002", "a"), ("model-00002-of-00002", "b") })
        {
            var file = Path.Combine(path, part + ".safetensors");
            if (!File.Exists(file))
            {
                File.WriteAllBytes(
                    file,
                    Safetensors($$$"""{"{{{name}}}":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8)
                );
            }
        }

        using var weights = WeightFiles.Open(path);
    }

    // The file of a tokenizer of all bytes and one pair.
    private static byte[] TokenizerJson()
    {
        var ranks = TokenRanks.Parse(
            Encoding.ASCII.GetBytes(
                string.Concat(
                    Enumerable.Range(0, 256).Select(value => $"{Convert.ToBase64String([(byte)value])} {value}\n")
                ) + "YWI= 256\n"
            ),
            "tokenizer.model"
        );
        var target = Directory.CreateTempSubdirectory("glmtune-fuzz-").FullName;
        try
        {
            TokenizerFile.WriteLibrary(new Tokenizer(ranks, SpecialTokens.After(ranks.Length)), target);
            return File.ReadAllBytes(Path.Combine(target, "tokenizer.json"));
        }
        finally
        {
            Directory.Delete(target, recursive: true);
        }
    }

    private void Adapter(byte[] input)
    {
        var file = AdapterConfigFile.Read(FolderWith(AdapterConfigFile.FileName, input));
        if (file.Kind == "LORA")
        {
            file.ReadLora();
        }
        else
        {
            file.ReadPrefix();
        }
    }

    private void Rows(byte[] input)
    {
        foreach (var row in ConversationFile.Rows(FileOf("rows.jsonl", input)))
        {
            _ = row.ToString();
        }
    }

    private void Log(byte[] input)
    {
        var path = FileOf(RunLog.FileName, input);
        var history = new RunHistory(maxPoints: 100);
        RunLogPart? part = null;
        while (part is null or { HasMore: true })
        {
            part = RunLogReader.Read(path, part?.Next ?? 0);
            foreach (var line in part.Lines)
            {
                history.Add(line);
                Touch(line);
            }
        }
    }

    // Reads a template, and renders it with little work allowed.
    private static void Template(byte[] input) =>
        JinjaProgram
            .Parse(Encoding.UTF8.GetString(input))
            .Render(TemplateValues, maxSteps: 2000, maxCharacters: 20_000);

    private static void State(byte[] input) => TrainerStateFile.Parse(input, TrainerStateFile.FileName);

    private static void Body(byte[] input)
    {
        var limits = new ServerLimits();
        BodyWalk.Check(input, limits);
        using var document = JsonDocument.Parse(input, new JsonDocumentOptions { MaxDepth = limits.JsonDepth });
        Touch(document.RootElement);
        document.RootElement.Deserialize<ChatCompletionRequest>(ApiJson.Options);
    }

    private string FileOf(string name, byte[] input)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllBytes(path, input);
        return path;
    }

    private string FolderWith(string name, byte[] input)
    {
        var path = Path.Combine(folder, Path.GetFileNameWithoutExtension(name) + ".folder");
        Directory.CreateDirectory(path);
        File.WriteAllBytes(Path.Combine(path, name), input);
        return path;
    }
}
