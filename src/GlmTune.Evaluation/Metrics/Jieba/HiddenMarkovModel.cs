namespace GlmTune.Evaluation.Metrics.Jieba;

/// <summary>Finds words that the dictionary lacks: a hidden Markov model decides whether each character begins,
/// continues, ends or is a word.</summary>
internal sealed class HiddenMarkovModel
{
    private const int States = 4; // in the order of the tables
    private const int B = 0;
    private const int M = 1;
    private const int E = 2;
    private const int S = 3;
    private const double Impossible = -3.14e100;

    // The possible predecessors of each state. Of two equally likely states the later letter wins, so it is listed
    // second.
    private static readonly (int First, int Second)[] Before = [(E, S), (B, M), (B, M), (E, S)];

    private readonly double[] start = new double[States];
    private readonly double[] transition = new double[States * States];
    private readonly double[] emission = new double[(JiebaSegmenter.LastHan - JiebaSegmenter.FirstHan + 1) * States];

    public HiddenMarkovModel(ref ColumnReader reader)
    {
        foreach (ref var value in start.AsSpan())
        {
            value = reader.ReadReal();
        }

        foreach (ref var value in transition.AsSpan())
        {
            value = reader.ReadReal();
        }

        var values = new double[reader.ReadWhole()];
        foreach (ref var value in values.AsSpan())
        {
            value = reader.ReadReal();
        }

        Array.Fill(emission, Impossible);
        for (var state = 0; state < States; state++)
        {
            var characters = new char[reader.ReadWhole()];
            reader.ReadRising(characters);
            foreach (var character in characters)
            {
                emission[Row(character) + state] = values[reader.ReadWhole()];
            }
        }
    }

    /// <summary>Splits a run of Han characters into words along the most likely states (Viterbi's algorithm).</summary>
    public void Cut(ReadOnlySpan<char> run, List<string> words)
    {
        var states = MostLikelyStates(run);
        var begin = 0;
        for (var i = 0; i < run.Length; i++)
        {
            // The first state is B or S, the last is E or S, and S never follows B or M, so every word is complete.
            if (states[i] is E or S)
            {
                words.Add(run[begin..(i + 1)].ToString());
                begin = i + 1;
            }
        }
    }

    private byte[] MostLikelyStates(ReadOnlySpan<char> run)
    {
        Span<double> score = stackalloc double[States];
        Span<double> previous = stackalloc double[States];
        var from = new byte[run.Length * States];
        for (var state = 0; state < States; state++)
        {
            score[state] = start[state] + emission[Row(run[0]) + state];
        }

        for (var i = 1; i < run.Length; i++)
        {
            score.CopyTo(previous);
            var row = Row(run[i]);
            for (var state = 0; state < States; state++)
            {
                var (first, second) = Before[state];
                var one = previous[first] + transition[(first * States) + state] + emission[row + state];
                var other = previous[second] + transition[(second * States) + state] + emission[row + state];
                (score[state], from[(i * States) + state]) = other >= one ? (other, (byte)second) : (one, (byte)first);
            }
        }

        var states = new byte[run.Length];
        states[^1] = score[S] >= score[E] ? (byte)S : (byte)E;
        for (var i = run.Length - 1; i > 0; i--)
        {
            states[i - 1] = from[(i * States) + states[i]];
        }

        return states;
    }

    private static int Row(char character) => (character - JiebaSegmenter.FirstHan) * States;
}
