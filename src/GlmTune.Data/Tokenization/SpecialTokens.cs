using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tokenization;

/// <summary>The special tokens of a tokenizer: ids by text, and the tokens that the chat template needs by
/// name.</summary>
/// <remarks>Immutable. Ids differ between models (those of a small model follow its own last rank), so no other code
/// may assume them.</remarks>
public sealed class SpecialTokens
{
    /// <summary>GLM-4's special tokens in the order of their ids, which follow the last rank if a model's files do not
    /// list them.</summary>
    public static IReadOnlyList<string> Glm4Order { get; } =
    [
        "<|endoftext|>",
        "[MASK]",
        "[gMASK]",
        "[sMASK]",
        "<sop>",
        "<eop>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
    ];

    private readonly Dictionary<int, string> texts;

    /// <summary>ChatGLM3's special tokens in the order of their ids, which follow the last piece.</summary>
    internal static IReadOnlyList<string> ChatGlm3Order { get; } =
    ["[MASK]", "[gMASK]", "[sMASK]", OlderSop, "eop", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"];

    // ChatGLM3's names of two of them.
    private const string OlderSop = "sop";
    private const string OlderEndOfText = "</s>";

    /// <summary>Creates the set from all special tokens of a tokenizer.</summary>
    /// <param name="all">Ids by text; must include the seven tokens that the chat template needs.</param>
    /// <param name="padding">Text of the token used for left padding.</param>
    /// <exception cref="InvalidDataException">A needed token is missing (the message lists them all), or two tokens
    /// share an id.</exception>
    public SpecialTokens(IReadOnlyDictionary<string, int> all, string padding = "<|endoftext|>")
    {
        All = all.OrderBy(token => token.Value).ToDictionary(StringComparer.Ordinal);
        var (end, sop) = all.ContainsKey(OlderSop) ? (OlderEndOfText, OlderSop) : ("<|endoftext|>", "<sop>");
        string[] needed = [end, "[gMASK]", sop, "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", padding];
        var missing = needed.Where(text => !All.ContainsKey(text)).Distinct().ToList();
        if (missing.Count > 0)
        {
            throw new InvalidDataException(
                "The tokenizer lacks the special tokens "
                    + $"{string.Join(", ", missing.Select(text => $"'{text}'"))}, which GLM-4's chat format "
                    + "requires."
            );
        }

        texts = [];
        foreach (var (text, id) in All)
        {
            if (!texts.TryAdd(id, text))
            {
                throw new InvalidDataException(
                    $"The special tokens '{texts[id]}' and '{text}' have the same id, {id}."
                );
            }
        }

        EndOfText = All[end];
        GMask = All["[gMASK]"];
        Sop = All[sop];
        System = All["<|system|>"];
        User = All["<|user|>"];
        Assistant = All["<|assistant|>"];
        Observation = All["<|observation|>"];
        Padding = All[padding];
        PaddingText = padding;
    }

    /// <summary>Every special token, text to id, in ascending order of ids.</summary>
    public IReadOnlyDictionary<string, int> All { get; }

    /// <summary>Id of <c>&lt;|endoftext|&gt;</c>, or of ChatGLM3's <c>&lt;/s&gt;</c>.</summary>
    public int EndOfText { get; }

    /// <summary>Id of <c>[gMASK]</c>, the first token of every sequence.</summary>
    public int GMask { get; }

    /// <summary>Id of <c>&lt;sop&gt;</c> (in ChatGLM3 <c>sop</c>), the second token of every sequence.</summary>
    public int Sop { get; }

    /// <summary>Id of <c>&lt;|system|&gt;</c>.</summary>
    public int System { get; }

    /// <summary>Id of <c>&lt;|user|&gt;</c>.</summary>
    public int User { get; }

    /// <summary>Id of <c>&lt;|assistant|&gt;</c>, which by itself is the generation prompt.</summary>
    public int Assistant { get; }

    /// <summary>Id of <c>&lt;|observation|&gt;</c>.</summary>
    public int Observation { get; }

    /// <summary>Id of the token used for left padding.</summary>
    public int Padding { get; }

    /// <summary>Text of <see cref="Padding"/>.</summary>
    public string PaddingText { get; }

    /// <summary>The ids that end an answer: end of text, start of a user turn, start of a tool result.</summary>
    public IReadOnlyList<int> Stops => [EndOfText, User, Observation];

    /// <summary>The token that starts a message of <paramref name="role"/>.</summary>
    public int this[Role role] =>
        role switch
        {
            Role.System => System,
            Role.User => User,
            Role.Assistant => Assistant,
            Role.Observation => Observation,
            _ => throw new ArgumentOutOfRangeException(nameof(role), role, "Not a role."),
        };

    /// <summary>The text of a special token; null for any other id.</summary>
    public string? TextOf(int id) => texts.GetValueOrDefault(id);

    /// <summary>ChatGLM3's special tokens for a model.</summary>
    internal static SpecialTokens Of(SentencePieceModel model) =>
        new(
            ChatGlm3Order
                .Index()
                .ToDictionary(token => token.Item, token => model.Pieces.Count + token.Index)
                .Append(KeyValuePair.Create(OlderEndOfText, model.EndOfText))
                .ToDictionary(),
            OlderEndOfText
        );

    /// <summary>GLM-4's fourteen special tokens, with ids from <paramref name="ranks"/> on.</summary>
    public static SpecialTokens After(int ranks) =>
        new(Glm4Order.Index().ToDictionary(token => token.Item, token => ranks + token.Index));
}
