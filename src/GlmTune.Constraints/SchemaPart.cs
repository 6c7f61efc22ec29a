using System.Text.Json;

namespace GlmTune.Constraints;

/// <summary>A schema inside another; several are kept to at once.</summary>
/// <param name="Schema">The schema.</param>
/// <param name="Path">Where it stands: a JSON pointer from #. The same place is the same part.</param>
/// <param name="Bare">Without its anyOf and oneOf, of which a branch stands beside it.</param>
internal readonly record struct SchemaPart(JsonElement Schema, string Path, bool Bare = false)
{
    /// <summary>What distinguishes it from other parts.</summary>
    public string Id => Bare ? $"{Path} bare" : Path;

    /// <summary>Steps of work that making a path below this one takes: names in it may be long.</summary>
    public int PathWork => Path.Length / 128;

    /// <summary>A schema under one of its keywords.</summary>
    public SchemaPart At(JsonElement schema, params ReadOnlySpan<string> steps)
    {
        var path = Path;
        foreach (var step in steps)
        {
            path =
                $"{path}/{step.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)}";
        }

        return new SchemaPart(schema, path);
    }

    /// <summary>The error of something that is wrong here.</summary>
    public ArgumentException Wrong(string problem) => new($"schema {Path}: {problem}");
}
