using GlmTune.Model;
using GlmTune.Model.Adapters;

namespace GlmTune.Testing;

/// <summary>The adapters that PEFT saved for the golden model, attached one at a time or served side by side.</summary>
/// <param name="folder">Holds their folders.</param>
public sealed class GoldenAdapters(string folder)
{
    /// <summary>What each is called.</summary>
    public static IReadOnlyList<string> Kinds { get; } = ["lora", "lora_all", "rslora", "dora", "prefix"];

    /// <summary>An adapter's folder.</summary>
    public string PathOf(string kind) => Path.Combine(folder, $"adapter-{kind}");

    /// <summary>Serves all of them, at most a number of low-rank ones on the device at once.</summary>
    internal ServedAdapters Serve(DecoderModel model, int? most = null)
    {
        var served = new ServedAdapters(model, most);
        foreach (var kind in Kinds)
        {
            served.Load(kind, PathOf(kind));
        }

        return served;
    }

    /// <summary>Runs something with one attached; null: with none.</summary>
    internal T Attached<T>(DecoderModel model, string? kind, Func<T> run)
    {
        if (kind is null)
        {
            return run();
        }

        using var attached = AdapterFolder.Load(PathOf(kind), model);
        try
        {
            return run();
        }
        finally
        {
            attached.Detach(model);
        }
    }
}
