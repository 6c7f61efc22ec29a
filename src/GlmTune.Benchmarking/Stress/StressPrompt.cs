using GlmTune.Data.Tokenization;

namespace GlmTune.Benchmarking.Stress;

/// <summary>Makes meaningless prompts of a given length, each different, so that prefix caches do not help.</summary>
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

    /// <summary>[gMASK] &lt;sop&gt; &lt;|user|&gt; newline, random ids, &lt;|assistant|&gt;.</summary>
    /// <param name="tokenizer">The tokenizer whose ids are used.</param>
    /// <param name="length">Total number of tokens, at least <see cref="Fewest"/>.</param>
    /// <param name="random">Source of randomness.</param>
    /// <remarks>Same form as in the stress test of the original project.</remarks>
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

    /// <summary>A message of approximately a given number of tokens, for a server whose tokenizer is not
    /// available.</summary>
    /// <param name="length">Number of words.</param>
    /// <param name="random">Source of randomness.</param>
    public static string Text(int length, Random random) =>
        string.Join(' ', Enumerable.Range(0, length).Select(_ => Words[random.Next(Words.Length)]));
}
