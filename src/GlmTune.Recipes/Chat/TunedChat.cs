using GlmTune.Checkpoints;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;

namespace GlmTune.Recipes.Chat;

/// <summary>Options for loading a tuned model to chat with.</summary>
public sealed record TunedChatOptions
{
    /// <summary>Base model to use instead of the one that the adapter names.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Device names as accepted by <see cref="ComputeDevice.Places"/>; null: as few GPUs as hold the model, or
    /// the CPU.</summary>
    public string? Device { get; init; }

    /// <summary>Type name as accepted by <see cref="ComputeDevice.TypeNames"/>; null: bfloat16 on a GPU, float32 on the
    /// CPU.</summary>
    public string? Type { get; init; }

    /// <summary>Adapters served side by side on the model, by the names used in requests
    /// (<see cref="ChatSettings.Adapter"/>).</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Adapters { get; init; } = [];

    /// <summary>Limits on concurrent generation; null: the defaults of <see cref="GenerationLimits"/>. A GPU's free
    /// memory also limits the KV cache.</summary>
    public GenerationLimits? Limits { get; init; }

    /// <summary>Chat template revision; null: the one the checkpoint was trained with, if recorded, otherwise the
    /// default.</summary>
    public TemplatePreset? Template { get; init; }
}

/// <summary>A tuned model to chat with, loaded from any path that training writes: <c>using var chat =
/// TunedChat.Load("output/checkpoint-100")</c>.</summary>
public sealed class TunedChat : IDisposable
{
    private readonly TunedModel model;

    private TunedChat(TunedModel model, ChatModel chat, IReadOnlyList<string> notes) =>
        (this.model, Chat, Notes) = (model, chat, notes);

    /// <summary>Notes for the user, one sentence each.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>Identifies this model and its adapter by the contents of their files.</summary>
    public string Identity => model.Path.Fingerprint();

    /// <summary>The model, with the adapters that it serves.</summary>
    public TunedModel Model => model;

    /// <summary>Turns conversations into answers, for any number of concurrent callers.</summary>
    public ChatModel Chat { get; }

    /// <summary>The same as a chat client of Microsoft.Extensions.AI; disposing the client does not unload the
    /// model.</summary>
    public GlmChatClient Client => new(Chat);

    /// <summary>Loads a model folder, an adapter folder with its base, or a Hub id from the local cache.</summary>
    /// <remarks>Tokenizer and generation configuration are read from the adapter folder if it has them, otherwise from
    /// the base.</remarks>
    /// <exception cref="InvalidDataException">Files are missing, damaged or inconsistent.</exception>
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

            // Devices that share the layers share the KV cache.
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

    // A preset that this version does not know is treated as not recorded.
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
