using System.CommandLine;
using GlmTune.Data.Templates;
using GlmTune.Inference;
using GlmTune.Recipes.Chat;

namespace GlmTune.Cli;

/// <summary>Arguments and options of the commands that load a model for inference.</summary>
internal sealed class ChatOptions
{
    private static readonly string[] Templates = [.. TemplatePreset.Choices.Select(preset => preset.Name)];

    private readonly Option<string?> baseModel = Arguments.Base();
    private readonly Option<string?> device = Arguments.Devices();
    private readonly Option<string?> type = Arguments.Type();
    private readonly Option<string?> quantization = Arguments.Quantization(
        "load the weights of the layers in fewer bits, which changes the answers slightly"
    );
    private readonly Option<string?> template = new("--template")
    {
        Description =
            $"chat format that the model was trained with: {string.Join(", ", Templates)}; "
            + "default: the one recorded in its checkpoint, else auto",
        HelpName = "NAME",
    };

    public ChatOptions() => template.AcceptOnlyFromAmong(Templates);

    /// <summary>The path of the model or adapter.</summary>
    public Argument<string> Path { get; } = Arguments.Tuned();

    /// <summary>Adds the arguments and options to a command.</summary>
    public void AddTo(Command command)
    {
        command.Add(Path);
        foreach (var option in new Option[] { baseModel, device, type, quantization, template })
        {
            command.Add(option);
        }
    }

    /// <summary>Reads and checks the files of the model, without its weights.</summary>
    /// <param name="given">The command line.</param>
    /// <param name="adapters">Adapters to serve beside the model, by name.</param>
    /// <param name="limits">Limits of the generator; null for the defaults.</param>
    /// <param name="serving">For a server instead: its limits.</param>
    public TunedChatFiles Read(
        ParseResult given,
        IReadOnlyList<KeyValuePair<string, string>>? adapters = null,
        GenerationLimits? limits = null,
        ServingLimits? serving = null
    ) =>
        TunedChatFiles.Read(
            given.GetRequiredValue(Path),
            new TunedChatOptions
            {
                BaseModel = given.GetValue(baseModel),
                Device = given.GetValue(device),
                Type = given.GetValue(type),
                Quantization = given.GetValue(quantization),
                Adapters = adapters ?? [],
                Limits = limits,
                Serving = serving,
                Template = given.GetValue(template) is { } name ? TemplatePreset.Named(name) : null,
            }
        );

    /// <summary>Loads the model from the command line.</summary>
    /// <param name="given">The command line.</param>
    /// <param name="screen">Receives notes.</param>
    /// <param name="adapters">Adapters to serve beside the model, by name.</param>
    /// <param name="limits">Limits of the generator; null for the defaults.</param>
    /// <param name="serving">For a server instead: its limits.</param>
    public TunedChat Load(
        ParseResult given,
        Screen screen,
        IReadOnlyList<KeyValuePair<string, string>>? adapters = null,
        GenerationLimits? limits = null,
        ServingLimits? serving = null
    ) => Load(Read(given, adapters, limits, serving), screen);

    /// <summary>Loads the weights that belong to files that were read.</summary>
    /// <param name="files">The files.</param>
    /// <param name="screen">Receives notes.</param>
    public static TunedChat Load(TunedChatFiles files, Screen screen)
    {
        var loaded = TunedChat.Load(files);
        foreach (var note in loaded.Notes)
        {
            screen.Error.WriteLine($"note: {note}");
        }

        return loaded;
    }
}
