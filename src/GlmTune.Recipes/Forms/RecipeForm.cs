using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes.Forms;

/// <summary>One field of the form: a key with its values and its explanation.</summary>
/// <param name="Key">The key, its default and the values that it takes.</param>
/// <param name="English">What the documentation says about it.</param>
/// <param name="Chinese">The same in Chinese.</param>
/// <param name="Adapter">The <c>peft_type</c> that has the key; null: it does not depend on it.</param>
internal sealed record RecipeField(RecipeKey Key, KeyText English, KeyText Chinese, string? Adapter)
{
    /// <summary>The section that contains the key; empty for the whole file.</summary>
    public string Section => Key.Path[..Math.Max(0, Key.Path.LastIndexOf('.'))];
}

/// <summary>The form for a recipe. It is made from what reading a recipe asks for, and from the documentation: there is
/// no list of its own.</summary>
internal static class RecipeForm
{
    private static readonly Lazy<IReadOnlyList<RecipeField>> AllFields = new(FindFields);

    /// <summary>A field for every key that has an effect, in the order of the documentation; older names of keys have
    /// none.</summary>
    public static IReadOnlyList<RecipeField> Fields => AllFields.Value;

    private static List<RecipeField> FindFields()
    {
        var lora = Names(AdapterSection.Lora);
        var prefix = Names(AdapterSection.Prefix);
        return
        [
            .. RecipeFile
                .Keys.Where(key =>
                    key is { Effect: RecipeKeyEffect.Honoured, IsOlderName: false, Shape.Kind: not KeyKind.Section }
                )
                .Select(key => new RecipeField(
                    key,
                    ConfigurationPage.English.Find(key.Path) ?? new KeyText("", ""),
                    ConfigurationPage.Chinese.Find(key.Path) ?? new KeyText("", ""),
                    lora.Contains(key.Path) ? AdapterSection.Lora
                        : prefix.Contains(key.Path) ? AdapterSection.Prefix
                        : null
                ))
                .OrderBy(field => Place(field.Section)),
        ];
    }

    private static HashSet<string> Names(string adapter) =>
        [.. RecipeFile.AdapterKeys(adapter).Select(key => key.Path)];

    // Sections in the order of a recipe; the keys of the whole file belong to the data.
    private static int Place(string section) =>
        section switch
        {
            "data_config" => 0,
            "" => 1,
            "peft_config" => 2,
            _ => 3,
        };
}
