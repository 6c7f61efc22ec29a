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
        "GLM-4's chat format has no place for it. Remove the key, or put the text into 'content' if it is to be "
        + "supervised.";

    private const string Turns = "it is not read beside a list of messages. Move its text into the messages.";

    private const string OfMessage = "it is not read beside the messages. Write \"loss\" in each message.";

    private static readonly Dictionary<string, string> OfBoth = Named(
        (Media, ["image", "images", "image_url", "image_path", "video", "videos", "audio", "audios", "objects"]),
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
                "margin",
                "reward",
                "rewards",
                "advantage",
            ]
        ),
        (
            Loss,
            ["loss_mask", "mask", "masked", "train", "training", "train_on_turn", "train_on_inputs", "train_detail"]
        ),
        (Reasoning, ["reasoning_content", "reasoning", "thinking", "thought", "thoughts"])
    );

    private static readonly Dictionary<string, string> OfRows = Named(
        (Turns, ["history", "instruction", "query", "response", "system_prompt", "completion"]),
        (OfMessage, ["loss", "weight", "loss_weight", "loss_scale"])
    );

    private static readonly Dictionary<string, string> OfMessages = Named(
        (
            "it asks for an answer that continues this text, which is not supported. Remove the key.",
            ["prefix", "partial"]
        ),
        (Turns, ["history"])
    );

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
