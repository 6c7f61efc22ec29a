using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>AdvertiseGen: <c>{"content": tags, "summary": text}</c>.</summary>
internal sealed class AdvertiseGenShape : RowShape
{
    public override string Name => "advertisegen";

    public override IEnumerable<Conversation> Convert(JsonElement entry) =>
        [
            new Conversation([
                new Message(Role.User, Text(entry, "content")),
                new Message(Role.Assistant, Text(entry, "summary")),
            ]),
        ];
}
