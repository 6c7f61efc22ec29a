using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Data.Conversations;

/// <summary>Writes conversations in the fine-tuning format: one JSON object per line.</summary>
public static class ConversationWriter
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes one row and a line break; reading it gives the same conversation.</summary>
    public static void WriteLine(Stream stream, Conversation conversation)
    {
        using (var json = new Utf8JsonWriter(stream, Options))
        {
            json.WriteStartObject();
            json.WriteStartArray("messages");
            foreach (var message in conversation.Messages)
            {
                Write(json, message);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
    }

    private static void Write(Utf8JsonWriter json, Message message)
    {
        json.WriteStartObject();
        json.WriteString("role", message.Role.ToString().ToLowerInvariant());
        if (message.Metadata.Length > 0)
        {
            json.WriteString("metadata", message.Metadata);
        }

        if (message.Reasoning.Length > 0)
        {
            json.WriteString("reasoning_content", message.Reasoning);
        }

        json.WriteString("content", message.Content);
        if (message.Loss is { } loss)
        {
            json.WriteBoolean("loss", loss);
        }

        if (message.Tools.Count > 0)
        {
            json.WriteStartArray("tools");
            foreach (var tool in message.Tools)
            {
                json.WriteStartObject();
                json.WriteString("type", tool.Type);
                if (tool.Type == "function")
                {
                    // Rewritten on one line, since the definition may contain line breaks.
                    using var function = JsonDocument.Parse(tool.Json);
                    json.WritePropertyName("function");
                    function.RootElement.WriteTo(json);
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }
}
