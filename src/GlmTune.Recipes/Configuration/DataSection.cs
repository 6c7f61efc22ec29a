using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads <c>data_config</c> and related keys that control tokenization.</summary>
internal static class DataSection
{
    private const string User = "<|user|>";
    private const string EndOfText = "<|endoftext|>";

    public static DataOptions Read(Section root)
    {
        var files = root.Child("data_config");
        var parallelism = files.IntOrNull("num_proc", least: 1, most: 1024);
        var badRows = files.Choice("bad_rows", BadRows.Error, ("error", BadRows.Error), ("skip", BadRows.Skip));
        ExampleOptions Rows(string limit) =>
            new()
            {
                Parallelism = parallelism,
                BadRows = badRows,
                MaxRows = files.IntOrNull(limit, least: 1),
            };

        var template = new TemplateOptions();
        var options = new DataOptions
        {
            TrainFile = files.FilePath("train_file") ?? "",
            ValidationFile = files.FilePath("val_file"),
            TestFile = files.FilePath("test_file"),
            TrainRows = Rows("max_train_samples"),
            ValidationRows = Rows("max_eval_samples"),
            TestRows = Rows("max_predict_samples"),
            RowCache = files.Flag("row_cache", true),
            Template = new TemplateOptions
            {
                Preset = files.Choice(
                    "template",
                    template.Preset,
                    [.. TemplatePreset.Choices.Select(preset => (preset.Name, preset))]
                ),
                EndToken = files.Choice(
                    "end_token",
                    template.EndToken,
                    (User, User),
                    ("151336", User),
                    ("user", User),
                    (EndOfText, EndOfText),
                    ("151329", EndOfText),
                    ("endoftext", EndOfText)
                ),
                ToolCalls = files.Choice(
                    "tool_calls",
                    template.ToolCalls,
                    ("as_written", ToolCallStyle.AsWritten),
                    ("native", ToolCallStyle.Native),
                    ("json", ToolCallStyle.Json)
                ),
                SupervisesThoughts = files.Flag("supervise_reasoning", template.SupervisesThoughts),
                SupervisedAnswers = root.Flag("combine", false) ? SupervisedAnswers.Last : SupervisedAnswers.All,
                MaxInputTokens = root.Int("max_input_length", template.MaxInputTokens, least: 1, most: 1 << 24),
                MaxOutputTokens = root.Int("max_output_length", template.MaxOutputTokens, least: 1, most: 1 << 24),
            },
        };
        if (!files.IsWritten("train_file"))
        {
            files.Problem(
                "train_file",
                "'data_config.train_file' is missing; it names the file of training rows in the data folder"
            );
        }

        root.NoEffect("freezeV", "it applies only to the vision model");
        files.End();
        return options;
    }
}
