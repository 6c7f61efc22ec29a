using System.Text.Json.Nodes;

namespace GlmTune.SampleData;

/// <summary>What the repository holds.</summary>
internal static class Committed
{
    public static string[] ConversationFiles { get; } =
    ["ads/train", "ads/dev", "ads/test", "tools/train", "tools/dev", "pretrain/train", "pretrain/dev"];

    public static string Path(string fromRoot) => System.IO.Path.GetFullPath(GoldenData.Path($"../../{fromRoot}"));

    public static string[] Lines(string name) => File.ReadAllLines(Path($"data/{name}.jsonl"));

    public static List<JsonArray> Rows(string name) =>
        [.. Lines(name).Select(line => JsonNode.Parse(line)!["messages"]!.AsArray())];

    public static string Text(this JsonNode? message, string field) => message![field]!.GetValue<string>();

    public static JsonNode Model(string file) => JsonNode.Parse(File.ReadAllText(Path($"models/glm-nano/{file}")))!;
}
