using GlmTune.Data.Tokenization;

namespace GlmTune.Benchmarking.Stress;

/// <summary>Prompts that mean nothing and have a wanted length, each another one, so that no cache of earlier prompts
/// helps.</summary>
public static class StressPrompt
{
    /// <summary>The fewest tokens of a prompt: those that frame a user's message, and one of it.</summary>
    public const int Fewest = 6;

    private const int FirstId = 3;
    private const int EndId = 151129;

    // Words that common vocabularies have as one token with the space before them.
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

    /// <summary>[gMASK] &lt;sop&gt; &lt;|user|&gt; newline, random ids, &lt;|assistant|&gt;.</summary>
    /// <param name="tokenizer">Whose ids.</param>
    /// <param name="length">Tokens in all, at least <see cref="Fewest"/>.</param>
    /// <param name="random">Draws them.</param>
    /// <remarks>As the original project's stress test makes them.</remarks>
    public static int[] Ids(Tokenizer tokenizer, int length, Random random)
    {
        var special = tokenizer.Special;
        var end = Math.Min(EndId, special.EndOfText);
        int[] frame = [special.GMask, special.Sop, special.User, .. tokenizer.Encode("\n")];
        return
        [
            .. frame,
            .. Enumerable.Range(0, length - frame.Length - 1).Select(_ => random.Next(Math.Min(FirstId, end - 1), end)),
            special.Assistant,
        ];
    }

    /// <summary>A message of about so many tokens, for a server whose tokenizer is not at hand.</summary>
    /// <param name="length">Words.</param>
    /// <param name="random">Draws them.</param>
    public static string Text(int length, Random random) =>
        string.Join(' ', Enumerable.Range(0, length).Select(_ => Words[random.Next(Words.Length)]));
}
