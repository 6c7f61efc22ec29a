using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>Lists of messages: OpenAI's, ShareGPT's and ChatGLM3's rows, which training reads in the same
/// way.</summary>
internal sealed class MessageListShape(string name) : RowShape
{
    public override string Name => name;

    public override ConvertedEntry Convert(JsonElement entry, string file, RowPlace place) =>
        new([ConversationReader.Parse(entry, file, place)]);
}
