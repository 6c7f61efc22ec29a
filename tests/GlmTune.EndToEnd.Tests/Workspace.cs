using System.Text.Json;

namespace GlmTune;

/// <summary>A folder with a small random model, data and a recipe; deleted after the test.</summary>
internal sealed class Workspace : IDisposable
{
    private static readonly Lazy<Task<string>> Model = new(MakeModel);

    public string Folder { get; } = Directory.CreateTempSubdirectory("glmtune-end-to-end-").FullName;

    public string Output => At("output");

    public string Recipe => At("recipe.yaml");

    /// <summary>A model of the nano shape with random weights, made once for all tests.</summary>
    public static Task<string> RandomModel => Model.Value;

    /// <summary>Writes rows (question, answer), and a recipe with the keys given.</summary>
    public static Workspace With(string trainingArguments, string? adapter = "peft_type: LORA\n  r: 4\n  lora_alpha: 8")
    {
        var workspace = new Workspace();
        string Row(int i) =>
            JsonSerializer.Serialize(
                new
                {
                    messages = new[]
                    {
                        new { role = "user", content = $"类型#裙*颜色#{i}" },
                        new { role = "assistant", content = $"这条裙子好看 {i * 7}" },
                    },
                }
            );
        File.WriteAllLines(workspace.At("train.jsonl"), Enumerable.Range(0, 24).Select(Row));
        File.WriteAllLines(workspace.At("dev.jsonl"), Enumerable.Range(24, 5).Select(Row));
        var arguments = string.Join(
            '\n',
            trainingArguments
                .Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                .Select(line => $"  {line}")
        );
        File.WriteAllText(
            workspace.Recipe,
            $"""
            data_config:
              train_file: train.jsonl
              val_file: dev.jsonl
              test_file: dev.jsonl
            max_input_length: 32
            max_output_length: 32
            training_args:
              output_dir: {workspace.Output}
              use_cpu: true
              per_device_train_batch_size: 4
              learning_rate: 1e-2
              logging_steps: 1
              generation_config:
                max_new_tokens: 4
            {arguments}
            {(adapter is null ? "" : $"peft_config:\n  {adapter}")}

            """
        );
        return workspace;
    }

    public string At(string name) => Path.Combine(Folder, name);

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    private static async Task<string> MakeModel()
    {
        var folder = Path.Combine(AppContext.BaseDirectory, "random-model");
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }

        await ProgramRun.Done(
            "model",
            "init",
            folder,
            "--like",
            GoldenData.Path("../../models/glm-nano"),
            "--seed",
            "5",
            "--dtype",
            "float32",
            "--device",
            "cpu"
        );
        return folder;
    }
}
