using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>Reads whether a message is supervised, under the names that different programs use.</summary>
internal static class LossReader
{
    private static readonly string[] Names = ["loss", "loss_weight", "weight", "loss_scale"];

    public static bool? Read(JsonElement message, int index, Role role, RowReading reading)
    {
        (string Key, bool Value)? found = null;
        foreach (var key in Names)
        {
            if (RowReading.Optional(message, key) is not { } value || Flag(value, key, index, reading) is not { } flag)
            {
                continue;
            }

            if (flag && role != Role.Assistant && key is "weight" or "loss_scale")
            {
                reading.Problem(
                    index,
                    $"'{key}' is 1 on a message that is not an answer. If it must be supervised, write "
                        + "\"loss\": true; otherwise remove the key."
                );
            }

            if (found is { } other && other.Value != flag)
            {
                reading.Problem(index, $"'{other.Key}' and '{key}' contradict each other. Keep one of them.");
            }

            found ??= (key, flag);
        }

        return found?.Value;
    }

    private static bool? Flag(JsonElement value, string key, int index, RowReading reading)
    {
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
        {
            return value.GetBoolean();
        }

        if (key == "loss")
        {
            reading.Problem(index, $"'loss' is {JsonFile.Describe(value)}; expected true or false.");
            return null;
        }

        if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number is 0 or 1)
        {
            return number == 1;
        }

        reading.Problem(
            index,
            $"'{key}' is {(value.ValueKind == JsonValueKind.Number ? value.GetRawText() : JsonFile.Describe(value))}; "
                + "expected 0 or 1. A message is supervised whole or not at all."
        );
        return null;
    }
}
