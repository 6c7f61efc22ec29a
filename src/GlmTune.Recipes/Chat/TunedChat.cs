using GlmTune.Data.Templates;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes.Chat;

/// <summary>Options for loading a tuned model to chat with.</summary>
public sealed record TunedChatOptions
{
    /// <summary>Base model to use instead of the one that the adapter names.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Device names as accepted by <see cref="ComputeDevice.PlanFor"/>; null: as few GPUs as hold the model,
    /// or the CPU.</summary>
    public string? Device { get; init; }

    /// <summary>Type name as accepted by <see cref="ComputeDevice.TypeNames"/>; null: bfloat16 on a GPU, float32 on the
    /// CPU.</summary>
    public string? Type { get; init; }

    /// <summary>How the weights of the layers are stored: nf4, int8 or fp8; null: in <see cref="Type"/>.</summary>
    public string? Quantization { get; init; }

    /// <summary>Adapters served side by side on the model, by the names used in requests
    /// (<see cref="ChatSettings.Adapter"/>).</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Adapters { get; init; } = [];

    /// <summary>Limits on concurrent generation; null: the defaults of <see cref="GenerationLimits"/>. A GPU's free
    /// memory also limits the KV cache.</summary>
    public GenerationLimits? Limits { get; init; }

    /// <summary>Set for a server, whose limits follow from the memory of its devices; then <see cref="Limits"/> are not
    /// used.</summary>
    internal ServingLimits? Serving { get; init; }

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

    /// <summary>The model, with the adapters that it serves.</summary>
    internal TunedModel Model => model;

    /// <summary>Turns conversations into answers, for any number of concurrent callers.</summary>
    public ChatModel Chat { get; }

    /// <summary>The same as a chat client of Microsoft.Extensions.AI; disposing the client does not unload the
    /// model.</summary>
    public GlmChatClient Client => new(Chat);

    /// <summary>Loads a model folder, an adapter folder with its base, or a Hub id from the local cache.</summary>
    /// <exception cref="InvalidDataException">Files are missing, damaged or inconsistent.</exception>
    public static TunedChat Load(string path, TunedChatOptions? options = null) =>
        Load(TunedChatFiles.Read(path, options));

    /// <summary>Loads the weights for files that have been read and checked.</summary>
    /// <exception cref="InvalidDataException">Weights are damaged, or the devices are too small.</exception>
    internal static TunedChat Load(TunedChatFiles files)
    {
        var options = files.Options;
        List<string> notes = [.. files.Notes];
        var (device, plan) = ComputeDevice.PlanFor(options.Device, QuantizationNames.Of(options.Quantization));
        var type = ComputeDevice.TypeNamed(options.Type, device);
        var model = TunedModel.Load(
            files.Path,
            type,
            config => plan(config, type),
            notes.Add,
            QuantizationNames.ForAnswers(options.Quantization)
        );
        try
        {
            if (options.Adapters.Count > 0 || options.Serving is { TakesAdapters: true })
            {
                model.Serve(options.Adapters, notes.Add, options.Serving?.MaxAdapters);
            }

            // Devices that share the layers share the KV cache.
            var devices = model.Model.Plan.Devices;
            var memory = devices.Min(each => DeviceMemory.Of(each));
            var limits = options.Serving is { } serving
                ? serving.For(model.Model, memory, devices.Count)
                : (options.Limits ?? new GenerationLimits()).Within(memory?.Free * devices.Count);
            if (options.Serving is not null)
            {
                notes.Add(ServingLimits.Describe(model.Model, limits));
            }

            return new TunedChat(model, new ChatModel(model.Model, files.Template, files.Defaults, limits), notes);
        }
        catch (ArgumentException e)
        {
            model.Dispose();
            throw new InvalidDataException($"{files.Name}: {e.Message}", e);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Chat.Dispose();
        model.Dispose();
    }
}
