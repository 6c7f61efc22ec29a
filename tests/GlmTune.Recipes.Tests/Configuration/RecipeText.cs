namespace GlmTune.Recipes.Tests.Configuration;

/// <summary>Short recipes for tests: a smallest valid one, with lines added to its sections.</summary>
internal static class RecipeText
{
    /// <summary>Three lines before <c>training_args</c>'s keys, so that the first of them is line 4.</summary>
    public static string WithArguments(string lines, string more = "") =>
        $"data_config:\n  train_file: train.jsonl\ntraining_args:\n{Indent(lines)}{more}";

    /// <summary><c>peft_config</c>'s keys begin in line 4.</summary>
    public static string WithAdapter(string lines) =>
        $"data_config:\n  train_file: train.jsonl\npeft_config:\n{Indent(lines)}";

    public static Recipe Read(string yaml, params string[] overrides) =>
        RecipeFile.Read(new StringReader(yaml), "r.yaml", overrides);

    /// <summary>The problems that reading reports, a line each.</summary>
    public static string[] Problems(string yaml, params string[] overrides) =>
        Assert.Throws<InvalidDataException>(() => Read(yaml, overrides)).Message.Split('\n');

    private static string Indent(string lines) => string.Concat(lines.Split('\n').Select(line => $"  {line}\n"));
}
