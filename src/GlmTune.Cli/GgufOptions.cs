using System.CommandLine;
using System.Globalization;
using GlmTune.Files;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Recipes.Models;
using GlmTune.Weights.Gguf;

namespace GlmTune.Cli;

/// <summary>What the commands have in common that write GGUF files.</summary>
internal static class GgufOptions
{
    private static readonly Dictionary<string, GgufFileType> Types = new(StringComparer.Ordinal)
    {
        ["f32"] = GgufFileType.F32,
        ["f16"] = GgufFileType.F16,
        ["bf16"] = GgufFileType.BF16,
        ["q8_0"] = GgufFileType.Q8_0,
        ["q4_0"] = GgufFileType.Q4_0,
        ["q4_k_m"] = GgufFileType.Q4_K_M,
    };

    /// <summary>The option that selects the type of the weights.</summary>
    /// <param name="standard">Description of the default.</param>
    public static Option<string?> Type(string standard)
    {
        var type = new Option<string?>("--type") { Description = $"type of the weights; default: {standard}" };
        type.AcceptOnlyFromAmong([.. Types.Keys]);
        return type;
    }

    /// <summary>The type with a name; null for null.</summary>
    public static GgufFileType? TypeNamed(string? name) => name is null ? null : Types[name];

    /// <summary>Reads and checks everything but the weights.</summary>
    /// <param name="path">A model or an adapter.</param>
    /// <param name="baseModel">Base model of an adapter; null: the one that it names.</param>
    /// <param name="problems">Receives all problems.</param>
    /// <returns>Null if there are any.</returns>
    public static TunedChatFiles? Read(string path, string? baseModel, ProblemReport problems)
    {
        var tuned = problems.Try(() => TunedPath.Resolve(path, baseModel));
        if (tuned is null)
        {
            return null;
        }

        problems.Try(() => MergeAdapter.CheckKind(tuned));
        return problems.Try(() => TunedChatFiles.Read(path, new TunedChatOptions { BaseModel = baseModel }));
    }

    /// <summary>Shows how much has been written: on a terminal a line that is redrawn, elsewhere nothing.</summary>
    public static Action<long, long> Progress(Screen screen)
    {
        var shown = -1L;
        return (done, total) =>
        {
            var percent = done * 100 / total;
            if (screen.IsTerminal && (percent != shown || done == total))
            {
                shown = percent;
                screen.Error.Write(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"\r{done / 1e9:0.00} of {total / 1e9:0.00} GB{(done == total ? "\n" : "")}"
                    )
                );
            }
        };
    }

    /// <summary>Says what was written.</summary>
    public static void Tell(Screen screen, string path, GgufReport report)
    {
        foreach (var note in report.Notes)
        {
            screen.Error.WriteLine($"note: {note}");
        }

        var types = string.Join(", ", report.Types.Select(type => $"{type.Tensors} {type.Type}"));
        screen.Lines.WriteLine($"{path}: {WriteProbe.Size(report.Bytes)}, tensors: {types}");
    }
}
