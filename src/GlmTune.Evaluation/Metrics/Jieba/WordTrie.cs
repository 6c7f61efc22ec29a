namespace GlmTune.Evaluation.Metrics.Jieba;

/// <summary>The dictionary as a trie in level order: the children of a node are adjacent, sorted by
/// character.</summary>
internal sealed class WordTrie
{
    /// <summary>The node of a lookup that has left the dictionary.</summary>
    public const int None = 0;

    private readonly int[] firstChild; // by node, plus one entry: the end of the last node's children
    private readonly char[] characters; // by node
    private readonly double[] weights; // by node: ln(frequency) - ln(total), or NaN if the node is only a prefix
    private readonly int[] firstLetters = new int[char.MaxValue + 1];

    public WordTrie(ref ColumnReader reader)
    {
        var nodes = (int)reader.ReadWhole();
        firstChild = new int[nodes + 1];
        firstChild[0] = 1;
        for (var node = 0; node < nodes; node++)
        {
            firstChild[node + 1] = firstChild[node] + (int)reader.ReadWhole();
        }

        characters = new char[nodes];
        for (var node = 0; node < nodes; node++)
        {
            reader.ReadRising(characters.AsSpan(firstChild[node]..firstChild[node + 1]));
        }

        weights = new double[nodes];
        for (var node = 0; node < nodes; node++)
        {
            weights[node] = reader.ReadWhole(); // the total is stored after all of them
        }

        var logTotal = Math.Log(reader.ReadWhole());
        for (var node = 0; node < nodes; node++)
        {
            weights[node] = weights[node] == 0 ? double.NaN : Math.Log(weights[node]) - logTotal;
        }

        UnknownWeight = 0 - logTotal;
        for (var child = firstChild[0]; child < firstChild[1]; child++)
        {
            firstLetters[characters[child]] = child;
        }
    }

    /// <summary>Weight of a character that is not a word: that of a frequency of one.</summary>
    public double UnknownWeight { get; }

    /// <summary>The node of a word's first character, or <see cref="None"/>.</summary>
    public int Start(char character) => firstLetters[character];

    /// <summary>The child node for one more character, or <see cref="None"/>.</summary>
    public int Next(int node, char character)
    {
        var begin = firstChild[node];
        var index = characters.AsSpan(begin..firstChild[node + 1]).BinarySearch(character);
        return index < 0 ? None : begin + index;
    }

    /// <summary>Logarithm of the relative frequency of the node's word; NaN if it is not a word.</summary>
    public double Weight(int node) => weights[node];

    /// <summary>Whether a text is a word in the dictionary.</summary>
    public bool Contains(ReadOnlySpan<char> text)
    {
        var node = text.IsEmpty ? None : Start(text[0]);
        for (var i = 1; i < text.Length && node != None; i++)
        {
            node = Next(node, text[i]);
        }

        return node != None && !double.IsNaN(weights[node]);
    }
}
