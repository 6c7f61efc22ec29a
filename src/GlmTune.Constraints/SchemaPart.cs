using System.Text.Json;

namespace GlmTune.Constraints;

/// <summary>A schema inside another one; several can apply to the same value.</summary>
/// <param name="Schema">The schema.</param>
/// <param name="Path">Its location, a JSON pointer from #. Parts with the same location are equal.</param>
/// <param name="Bare">Whether its anyOf and oneOf are ignored because one of their branches is applied beside
/// it.</param>
internal readonly record struct SchemaPart(JsonElement Schema, string Path, bool Bare = false)
{
    /// <summary>Identifies the part.</summary>
    public string Id => Bare ? $"{Path} bare" : Path;

    /// <summary>Work of building a path below this one: names in it may be long.</summary>
    public int PathWork => Path.Length / 128;

    /// <summary>The schema under one of its keywords.</summary>
    public SchemaPart At(JsonElement schema, params ReadOnlySpan<string> steps)
    {
        var path = Path;
        foreach (var step in steps)
        {
            var escaped = step.Replace("~", "~0", StringComparison.Ordinal)
                .Replace("/", "~1", StringComparison.Ordinal);
            path = $"{path}/{escaped}";
        }

        return new SchemaPart(schema, path);
    }

    /// <summary>An error about this part.</summary>
    public ArgumentException Wrong(string problem) => new($"schema {Path}: {problem}");
}
