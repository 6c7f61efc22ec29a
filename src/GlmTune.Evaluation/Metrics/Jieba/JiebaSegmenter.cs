namespace GlmTune.Evaluation.Metrics.Jieba;

/// <summary>Segments Chinese text into words like jieba 0.42.1 in its accurate mode, with its dictionary and its model
/// for unknown words.</summary>
/// <remarks>A run of Han characters, letters and digits forms a lattice of dictionary words, segmented along the path
/// with the greatest product of word frequencies. Consecutive single characters that remain go through a hidden Markov
/// model. Every character of the text belongs to exactly one word, in order. Thread-safe. The tables are loaded on
/// first use.</remarks>
internal static class JiebaSegmenter
{
    internal const char FirstHan = '\u4E00';
    internal const char LastHan = '\u9FD5';

    /// <summary>The words of a text, including white space and punctuation; concatenated, they are the text.</summary>
    public static List<string> Cut(string text)
    {
        var tables = JiebaTables.Shared;
        var words = new List<string>(text.Length / 2);
        for (var begin = 0; begin < text.Length;)
        {
            var end = begin;
            while (end < text.Length && IsWordCharacter(text[end]))
            {
                end++;
            }

            if (end > begin)
            {
                CutStretch(text.AsSpan(begin..end), tables, words);
            }
            else
            {
                // Outside such runs every character is a word of its own, except line ends and characters beyond 16
                // bits.
                var isPair =
                    begin + 1 < text.Length
                    && (
                        text[begin] == '\r'
                            ? text[begin + 1] == '\n'
                            : char.IsSurrogatePair(text[begin], text[begin + 1])
                    );
                end = begin + (isPair ? 2 : 1);
                words.Add(text[begin..end]);
            }

            begin = end;
        }

        return words;
    }

    private static bool IsWordCharacter(char c) =>
        IsHan(c) || char.IsAsciiLetterOrDigit(c) || c is '+' or '#' or '&' or '.' or '_' or '%' or '-';

    private static bool IsHan(char c) => c is >= FirstHan and <= LastHan;

    private static void CutStretch(ReadOnlySpan<char> stretch, JiebaTables tables, List<string> words)
    {
        var ends = BestPath(stretch, tables.Dictionary);
        var begin = 0; // start of the pending single characters
        for (var at = 0; at < stretch.Length; at = ends[at])
        {
            if (ends[at] - at > 1)
            {
                CutSingles(stretch[begin..at], tables, words);
                words.Add(stretch[at..ends[at]].ToString());
                begin = ends[at];
            }
        }

        CutSingles(stretch[begin..], tables, words);
    }

    /// <summary>For each position, the end of the word that starts there on the path of the greatest weight. Of equal
    /// paths, the longer word wins.</summary>
    private static int[] BestPath(ReadOnlySpan<char> stretch, WordTrie dictionary)
    {
        var ends = new int[stretch.Length];
        var weights = new double[stretch.Length + 1];
        for (var begin = stretch.Length - 1; begin >= 0; begin--)
        {
            var best = double.NegativeInfinity;
            var node = dictionary.Start(stretch[begin]);
            for (var end = begin + 1; node != WordTrie.None; end++)
            {
                var weight = dictionary.Weight(node) + weights[end];
                if (weight >= best) // false for a prefix that is not a word and has no weight
                {
                    best = weight;
                    ends[begin] = end;
                }

                node = end < stretch.Length ? dictionary.Next(node, stretch[end]) : WordTrie.None;
            }

            if (ends[begin] == 0)
            {
                best = dictionary.UnknownWeight + weights[begin + 1];
                ends[begin] = begin + 1;
            }

            weights[begin] = best;
        }

        return ends;
    }

    private static void CutSingles(ReadOnlySpan<char> run, JiebaTables tables, List<string> words)
    {
        // A run that is itself a word was split because its pieces weigh more; keep the split.
        if (run.Length == 1 || tables.Dictionary.Contains(run))
        {
            foreach (var character in run)
            {
                words.Add(character.ToString());
            }

            return;
        }

        for (var begin = 0; begin < run.Length;)
        {
            var end = begin;
            while (end < run.Length && IsHan(run[end]))
            {
                end++;
            }

            if (end > begin)
            {
                tables.Model.Cut(run[begin..end], words);
            }
            else
            {
                end = EndOfNumberOrSigns(run, begin);
                words.Add(run[begin..end].ToString());
            }

            begin = end;
        }
    }

    /// <summary>The end of a piece without Han characters: letters and digits with at most one decimal fraction and a
    /// percent sign, or the text between such pieces.</summary>
    private static int EndOfNumberOrSigns(ReadOnlySpan<char> run, int begin)
    {
        var end = begin;
        if (!char.IsAsciiLetterOrDigit(run[begin]))
        {
            while (end < run.Length && !char.IsAsciiLetterOrDigit(run[end]) && !IsHan(run[end]))
            {
                end++;
            }

            return end;
        }

        while (end < run.Length && char.IsAsciiLetterOrDigit(run[end]))
        {
            end++;
        }

        if (end + 1 < run.Length && run[end] == '.' && char.IsAsciiDigit(run[end + 1]))
        {
            end++;
            while (end < run.Length && char.IsAsciiDigit(run[end]))
            {
                end++;
            }
        }

        return end < run.Length && run[end] == '%' ? end + 1 : end;
    }
}
