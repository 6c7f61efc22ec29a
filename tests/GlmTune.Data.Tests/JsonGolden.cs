using System.Text.Json;

namespace GlmTune.Data.Tests;

internal static class JsonGolden
{
    public static int[] Ids(this JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];

    public static int[] Ids(this JsonElement owner, string key) => owner.GetProperty(key).Ids();

    public static string Text(this JsonElement owner, string key) => owner.GetProperty(key).GetString()!;
}
