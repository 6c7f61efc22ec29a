using System.CommandLine;
using GlmTune.Cli.Help;
using GlmTune.Files;
using GlmTune.Hub;
using GlmTune.Hub.Caches;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model list</c>: lists downloaded models.</summary>
internal static class ModelListCommand
{
    public static Command Create(Screen screen)
    {
        var json = Arguments.Json();
        var command = new Command("list", "List the models in the caches of the Hugging Face Hub and ModelScope.")
        {
            json,
        };
        command.SetAction(given =>
        {
            var caches = ModelCaches.FromEnvironment();
            var models = caches.List();
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(
                    JsonText.Of(
                        models.Select(model => new
                        {
                            model.Name,
                            model.Kind,
                            model.Bytes,
                            Site = NameOf(model.Site),
                            model.Commit,
                            model.Revisions,
                            model.Folder,
                        })
                    )
                );
            }
            else if (models.Count == 0)
            {
                screen.Error.WriteLine(
                    $"No models in {string.Join(", ", caches.Hub.Folders.Concat(caches.ModelScope.Folders))}. "
                        + "Download one: "
                        + "glmtune model pull THUDM/glm-4-9b-chat"
                );
            }
            else
            {
                Write(screen, models);
            }
        });
        return command;
    }

    /// <summary>A site as it is named on the command line.</summary>
    public static string NameOf(ModelSite site) => site == ModelSite.HuggingFace ? "huggingface" : "modelscope";

    private static void Write(Screen screen, IReadOnlyList<CachedModel> models)
    {
        var names = models.Max(model => TextWidth.Of(model.Name));
        var kinds = models.Max(model => model.Kind.Length);
        foreach (var model in models)
        {
            var size = WriteProbe.Size(model.Bytes);
            screen.Output.WriteLine(
                $"{model.Name.PadRight(names)}  {model.Kind.PadRight(kinds)}  {size,9}  {NameOf(model.Site)}"
            );
        }
    }
}
