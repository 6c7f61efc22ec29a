using System.Text.Json;

namespace GlmTune.Data.Conversations;

/// <summary>Unsupported keys of rows and messages that would change what the model is trained on: a row with such a key
/// is refused by name.</summary>
internal static class RowKeys
{
    private const string Media =
        "this program trains on text alone. Remove the row, or remove the key if the text makes sense " + "without it.";

    private const string Preference =
        "it belongs to preference training (DPO, KTO, RLHF), which this program does not support. Remove the "
        + "row, or keep only the good answer.";

    private const string Loss =
        "it is not supported. Write \"loss\": false in each message that must not be supervised.";

    private const string Reasoning =
        "thoughts are read from the 'reasoning_content' of the assistant's message. Rename the key, or remove it.";

    private const string Turns = "it is not read beside a list of messages. Move its text into the messages.";

    private const string OfMessage = "it is not read beside the messages. Write \"loss\" in each message.";

    private static readonly Dictionary<string, string> OfBoth = Named(
        (
            Media,
            [
                "image",
                "images",
                "image_url",
                "image_urls",
                "image_path",
                "image_paths",
                "image_file",
                "image_base64",
                "pixel_values",
                "video",
                "videos",
                "video_url",
                "video_path",
                "audio",
                "audios",
                "audio_url",
                "audio_path",
                "speech",
                "objects",
                "bbox",
            ]
        ),
        (
            Preference,
            [
                "label",
                "labels",
                "kto_tag",
                "chosen",
                "rejected",
                "rejected_response",
                "rejected_messages",
                "rejected_images",
                "chosen_response",
                "preference",
                "preferred",
                "dispreferred",
                "margin",
                "reward",
                "rewards",
                "advantage",
            ]
        ),
        (
            Loss,
            [
                "loss_mask",
                "loss_masks",
                "loss_weights",
                "sample_weight",
                "token_weights",
                "completion_mask",
                "response_mask",
                "assistant_mask",
                "assistant_masks",
                "mask",
                "masked",
                "train",
                "training",
                "train_on_turn",
                "train_on_inputs",
                "train_detail",
                "trainable",
                "is_supervised",
            ]
        ),
        (
            Reasoning,
            [
                "reasoning_content",
                "reasoning",
                "reasoning_details",
                "thinking",
                "thinking_content",
                "thought",
                "thoughts",
                "cot",
            ]
        )
    );

    private static readonly Dictionary<string, string> OfRows = Named(
        (Turns, ["history", "instruction", "query", "response", "system_prompt", "completion", "input_ids"]),
        (OfMessage, ["loss", "weight", "loss_weight", "loss_scale"])
    );

    private static readonly Dictionary<string, string> OfMessages = Named(
        (
            "it asks for an answer that continues this text, which is not supported. Remove the key.",
            ["prefix", "partial"]
        ),
        (Turns, ["history"])
    );

    /// <summary>Why a row with these keys cannot be one to train on, whatever its format; null if nothing is
    /// known.</summary>
    public static string? OfPreference(JsonElement row) =>
        row.EnumerateObject().Select(member => member.Name).FirstOrDefault(key => RefusedInRow(key) == Preference)
            is { } found
            ? $"'{found}': {Preference}"
            : null;

    /// <summary>Why a row key is refused; null if it is not.</summary>
    public static string? RefusedInRow(string key) => OfBoth.GetValueOrDefault(key) ?? OfRows.GetValueOrDefault(key);

    /// <summary>Why a message key is refused; null if it is not.</summary>
    public static string? RefusedInMessage(string key) =>
        OfBoth.GetValueOrDefault(key) ?? OfMessages.GetValueOrDefault(key);

    private static Dictionary<string, string> Named(params (string Reason, string[] Keys)[] groups) =>
        groups
            .SelectMany(group => group.Keys.Select(key => (key, group.Reason)))
            .ToDictionary(pair => pair.key, pair => pair.Reason, StringComparer.OrdinalIgnoreCase);
}
