using GlmTune.Checkpoints;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;

namespace GlmTune.Recipes.Chat;

/// <summary>How a tuned model is loaded to chat with.</summary>
public sealed record TunedChatOptions
{
    /// <summary>The base of an adapter, instead of the one that it names.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Devices by name, as <see cref="ComputeDevice.Places"/> has them; null for as few GPUs as hold the
    /// model, else the CPU.</summary>
    public string? Device { get; init; }

    /// <summary>Type by name, as <see cref="ComputeDevice.TypeNames"/> has it; null for bfloat16 on a GPU and float32
    /// on the CPU.</summary>
    public string? Type { get; init; }

    /// <summary>Adapters that are served side by side on the model, each by the name that requests give it
    /// (<see cref="ChatSettings.Adapter"/>).</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Adapters { get; init; } = [];

    /// <summary>How much is done at once; null for <see cref="GenerationLimits"/>'s defaults. A GPU's free memory
    /// limits the cache further.</summary>
    public GenerationLimits? Limits { get; init; }

    /// <summary>Revision of the chat format; null for the one that the checkpoint was tuned with, where it says so,
    /// else the default.</summary>
    public TemplatePreset? Template { get; init; }
}

/// <summary>A tuned model to chat with, from any path that training writes: <c>using var chat =
/// TunedChat.Load("output/checkpoint-100")</c>.</summary>
public sealed class TunedChat : IDisposable
{
    private readonly TunedModel model;

    private TunedChat(TunedModel model, ChatModel chat, IReadOnlyList<string> notes) =>
        (this.model, Chat, Notes) = (model, chat, notes);

    /// <summary>What somebody should know though it is no error, a sentence each.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>Tells this model and its adapter from others, by the contents of their files.</summary>
    public string Identity => model.Path.Fingerprint();

    /// <summary>The model, and the adapters that it serves.</summary>
    public TunedModel Model => model;

    /// <summary>Conversations in, answers out; for any number of callers.</summary>
    public ChatModel Chat { get; }

    /// <summary>The same as a chat client of Microsoft.Extensions.AI; disposing it leaves the model loaded.</summary>
    public GlmChatClient Client => new(Chat);

    /// <summary>Loads a model's folder, an adapter's folder with its base, or a hub id from the local cache.</summary>
    /// <remarks>The tokenizer and the generation configuration are those beside the adapter if it has them, else the
    /// base's.</remarks>
    /// <exception cref="InvalidDataException">Files are missing or damaged, or do not belong together.</exception>
    public static TunedChat Load(string path, TunedChatOptions? options = null)
    {
        options ??= new TunedChatOptions();
        var tuned = TunedPath.Resolve(path, options.BaseModel);
        string Folder(Predicate<string> has) =>
            tuned.AdapterFolder is { } adapter && has(adapter) ? adapter : tuned.ModelFolder;
        var template = new Glm4Template(
            TokenizerFile.Read(Folder(TokenizerFile.IsIn)),
            new TemplateOptions { Preset = options.Template ?? Recorded(tuned.AdapterFolder ?? tuned.ModelFolder) }
        );
        var generation = Folder(folder => File.Exists(Path.Combine(folder, GenerationConfigFile.Name)));
        var defaults = GenerationConfigFile.ReadFolder(generation);
        List<string> notes = [.. GenerationConfigFile.FindNotes(generation)];
        if (template.Note is { } note)
        {
            notes.Add($"{Folder(TokenizerFile.IsIn)}: {note}");
        }

        var (device, plan) = ComputeDevice.Places(options.Device);
        var type = ComputeDevice.TypeNamed(options.Type, device);
        var model = TunedModel.Load(tuned, type, config => plan(config, type), notes.Add);
        try
        {
            if (options.Adapters.Count > 0)
            {
                model.Serve(options.Adapters);
            }

            // Devices that share the layers share the cache.
            var devices = model.Model.Plan.Devices;
            var free = devices.Min(each => DeviceMemory.Of(each)?.Free);
            return new TunedChat(
                model,
                new ChatModel(
                    model.Model,
                    template,
                    defaults,
                    (options.Limits ?? new GenerationLimits()).Within(free * devices.Count)
                ),
                notes
            );
        }
        catch (ArgumentException e)
        {
            model.Dispose();
            throw new InvalidDataException($"{path}: {e.Message}", e);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    // A preset that this version does not have is as good as none.
    private static TemplatePreset Recorded(string folder) =>
        TrainingState.Read(folder)?.Template is { } name
        && TemplatePreset.All.FirstOrDefault(preset => preset.Name == name) is { } preset
            ? preset
            : TemplatePreset.Default;

    /// <inheritdoc/>
    public void Dispose()
    {
        Chat.Dispose();
        model.Dispose();
    }
}
