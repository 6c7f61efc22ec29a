using System.Text;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Weights.Gguf;

namespace GlmTune.Recipes.Exporting;

/// <summary>Writes a folder for <c>ollama create</c>: the model as GGUF, and a Modelfile.</summary>
internal static class OllamaExport
{
    /// <summary>Name of the model's file.</summary>
    public const string ModelName = "model.gguf";

    /// <summary>Name of the file that describes it to Ollama.</summary>
    public const string Modelfile = "Modelfile";

    // Ollama reserves memory for the whole context, so it gets no more than this of what the model was trained for.
    private const int LongestContext = 8192;

    /// <summary>Writes the folder; it appears complete, or not at all.</summary>
    /// <param name="files">The model, and its adapter if any.</param>
    /// <param name="folder">Target folder; must not exist.</param>
    /// <param name="type">Type of the file; null: that of the model's weights.</param>
    /// <param name="progress">Called with the bytes written so far and in all.</param>
    /// <exception cref="InvalidDataException">llama.cpp has no such model, the chat template has a form that Ollama
    /// cannot express, or <paramref name="folder"/> exists.</exception>
    public static GgufReport Run(
        TunedChatFiles files,
        string folder,
        GgufFileType? type,
        Action<long, long>? progress = null
    )
    {
        var report = new ProblemReport();
        var text = report.Try(() => Describe(files));
        using var export = report.Try(() => GgufExport.Plan(files, type, layout: null));
        report.Add(WriteProbe.FindProblemOfNewFolder(folder, export?.Bytes ?? 0) is { } problem ? [problem] : []);
        report.Throw();
        using var target = AtomicFolder.Create(folder);
        var written = export!.Write(Path.Combine(target.Path, ModelName), progress);
        AtomicFile.WriteText(Path.Combine(target.Path, Modelfile), text!);
        target.Publish();
        return written;
    }

    /// <summary>The text of the Modelfile.</summary>
    /// <param name="files">The model, and its adapter if any.</param>
    /// <exception cref="InvalidDataException">The chat template has a form that Ollama cannot express.</exception>
    public static string Describe(TunedChatFiles files)
    {
        var template =
            OllamaTemplate.Write(files.Template)
            ?? throw new InvalidDataException(
                $"{files.Name}: the model's chat template cannot be written in Ollama's form, because it is not one "
                    + "fixed text for each role. Write the file with 'glmtune export gguf', which keeps the "
                    + "template as it is."
            );
        var tokenizer = files.Template.Tokenizer;
        var defaults = files.Defaults;
        var config = ModelConfig.Read(files.Path.ModelFolder);
        var text = new StringBuilder($"FROM ./{ModelName}\n\nTEMPLATE \"\"\"{template}\"\"\"\n\n");
        void Add(string name, FormattableString value) =>
            text.Append("PARAMETER ").Append(name).Append(' ').Append(FormattableString.Invariant(value)).Append('\n');
        foreach (var stop in tokenizer.Special.Stops.Select(tokenizer.Special.TextOf))
        {
            Add("stop", $"\"{stop}\"");
        }

        Add("num_ctx", $"{Math.Min(config.MaxPositions, LongestContext)}");
        if (defaults.DoSample == false)
        {
            Add("temperature", $"0");
        }
        else if (defaults.Temperature is { } temperature)
        {
            Add("temperature", $"{temperature}");
        }

        if (defaults.TopP is { } topP)
        {
            Add("top_p", $"{topP}");
        }

        if (defaults.TopK is { } topK)
        {
            Add("top_k", $"{topK}");
        }

        if (defaults.RepetitionPenalty is { } penalty)
        {
            Add("repeat_penalty", $"{penalty}");
        }

        return text.ToString();
    }
}
