using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>Message lists: rows of OpenAI, ShareGPT and ChatGLM3, which training reads directly.</summary>
internal sealed class MessageListShape(string name) : RowShape
{
    public override string Name => name;

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place) =>
        new([ConversationReader.Parse(entry, file, place)]);
}
