using GlmTune.Checkpoints;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes.Chat;

/// <summary>Everything that is read of a tuned model before its weights: enough to find problems early.</summary>
/// <remarks>Tokenizer and generation configuration are read from the adapter folder if it has them, otherwise from the
/// base.</remarks>
internal sealed class TunedChatFiles
{
    private TunedChatFiles(
        string name,
        TunedPath path,
        TunedChatOptions options,
        Glm4Template template,
        GenerationOptions defaults,
        IReadOnlyList<string> notes
    ) => (Name, Path, Options, Template, Defaults, Notes) = (name, path, options, template, defaults, notes);

    /// <summary>The path as given.</summary>
    public string Name { get; }

    /// <summary>The model, or the adapter and its base.</summary>
    public TunedPath Path { get; }

    /// <summary>How to load it.</summary>
    public TunedChatOptions Options { get; }

    /// <summary>The chat template with its tokenizer.</summary>
    public Glm4Template Template { get; }

    /// <summary>The options in generation_config.json.</summary>
    public GenerationOptions Defaults { get; }

    /// <summary>Notes for the user, one sentence each.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>Identifies this model and its adapter by the contents of their files.</summary>
    public string Identity => Path.Fingerprint();

    /// <summary>Reads and checks everything except the values of the weights.</summary>
    /// <param name="path">A model folder, an adapter folder, or a Hub id from the local cache.</param>
    /// <param name="options">How to load it.</param>
    /// <exception cref="InvalidDataException">Files are missing, damaged or inconsistent; the message lists all
    /// problems.</exception>
    public static TunedChatFiles Read(string path, TunedChatOptions? options = null)
    {
        options ??= new TunedChatOptions();
        var report = new ProblemReport();
        var tuned = TunedPath.Resolve(path, options.BaseModel);
        string Folder(Predicate<string> has) =>
            tuned.AdapterFolder is { } adapter && has(adapter) ? adapter : tuned.ModelFolder;
        var words = Folder(TokenizerFile.IsIn);
        var generation = Folder(folder => File.Exists(System.IO.Path.Combine(folder, GenerationConfigFile.Name)));
        report.Try(() => ComputeDevice.TypeNamed(options.Type, ComputeDevice.PlanFor(options.Device).First));
        report.Try(() => TunedModel.Check(tuned));
        report.Try(() => options.Serving?.Check(ModelConfig.Read(tuned.ModelFolder)));
        foreach (var (_, folder) in options.Adapters)
        {
            report.Try(() => TunedModel.Check(new TunedPath(tuned.ModelFolder, ModelReference.Resolve(folder))));
        }

        var template = report.Try(() =>
            new Glm4Template(
                TokenizerFile.Read(words),
                new TemplateOptions { Preset = options.Template ?? Recorded(tuned.AdapterFolder ?? tuned.ModelFolder) }
            )
        );
        var defaults = report.Try(() => GenerationConfigFile.ReadFolder(generation));
        List<string> notes = [];
        if (defaults is not null)
        {
            notes.AddRange(report.Try(() => GenerationConfigFile.FindNotes(generation)) ?? []);
        }

        report.Throw();
        if (template!.Note is { } note)
        {
            notes.Add($"{words}: {note}");
        }

        return new TunedChatFiles(path, tuned, options, template, defaults!, notes);
    }

    // A preset that this version does not know is treated as not recorded.
    private static TemplatePreset Recorded(string folder) =>
        TrainingState.Read(folder)?.Template is { } name
        && TemplatePreset.Choices.FirstOrDefault(preset => preset.Name == name) is { } preset
            ? preset
            : TemplatePreset.Automatic;
}
