using GlmTune.Data.Tokenization;

namespace GlmTune.Benchmarking.Stress;

/// <summary>Makes meaningless prompts of a given length, each different, so that prefix caches help only with the
/// beginning that prompts are to share.</summary>
internal static class StressPrompt
{
    /// <summary>The shortest prompt in tokens: those around a user's message, and one token of the message.</summary>
    public const int Fewest = 6;

    private const int FirstId = 3;
    private const int EndId = 151129;

    // Words that most vocabularies encode, with the space before them, as one token.
    private static readonly string[] Words =
    [
        "time",
        "year",
        "people",
        "way",
        "day",
        "man",
        "thing",
        "woman",
        "life",
        "child",
        "world",
        "school",
        "state",
        "family",
        "student",
        "group",
        "country",
        "problem",
        "hand",
        "part",
        "place",
        "case",
        "week",
        "company",
        "system",
        "program",
        "question",
        "work",
        "government",
        "number",
        "night",
        "point",
        "home",
        "water",
        "room",
        "mother",
        "area",
        "money",
        "story",
        "fact",
        "month",
        "lot",
        "right",
        "study",
        "book",
        "eye",
        "job",
        "word",
    ];

    // All prompts of all tests begin with the same random tokens or words, if they are to share a beginning.
    private const int SharedSeed = 271828;

    /// <summary>[gMASK] &lt;sop&gt; &lt;|user|&gt; newline, random ids, &lt;|assistant|&gt;.</summary>
    /// <param name="tokenizer">The tokenizer whose ids are used.</param>
    /// <param name="request">The request; its prompt has at least <see cref="Fewest"/> tokens.</param>
    /// <remarks>Same form as in the stress test of the original project.</remarks>
    public static int[] Ids(Tokenizer tokenizer, StressRequest request)
    {
        var special = tokenizer.Special;
        var end = Math.Min(EndId, special.EndOfText);
        int[] frame = [special.GMask, special.Sop, special.User, .. tokenizer.Encode("\n")];
        var ids = Drawn(request, frame.Length + 1, random => random.Next(Math.Min(FirstId, end - 1), end));
        return [.. frame, .. ids, special.Assistant];
    }

    /// <summary>A message of approximately a given number of tokens, for a server whose tokenizer is not
    /// available.</summary>
    /// <param name="request">The request; a word for each token.</param>
    public static string Text(StressRequest request) =>
        string.Join(' ', Drawn(request, 0, random => Words[random.Next(Words.Length)]));

    // What fills a prompt, of which a frame takes some tokens.
    private static IEnumerable<T> Drawn<T>(StressRequest request, int frame, Func<Random, T> draw)
    {
        var (common, own) = (new Random(SharedSeed), request.Random);
        var count = request.PromptTokens - frame;
        return Enumerable.Range(0, count).Select(i => draw(i < request.SharedTokens - frame ? common : own));
    }
}
