using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>AdvertiseGen: <c>{"content": tags, "summary": text}</c>.</summary>
internal sealed class AdvertiseGenShape : RowShape
{
    private static readonly string[] Used = ["content", "summary"];

    public override string Name => "advertisegen";

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place) =>
        new([
            Read(
                entry,
                Used,
                new JsonObject
                {
                    ["messages"] = new JsonArray(
                        Message("user", Text(entry, "content")),
                        Message("assistant", Text(entry, "summary"))
                    ),
                },
                file,
                place
            ),
        ]);
}
