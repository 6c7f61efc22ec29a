using System.Collections;

namespace GlmTune.Data.Templates;

/// <summary>All training examples of one split, in the file's order.</summary>
public sealed class TrainingSet : IReadOnlyList<TokenizedExample>
{
    private readonly List<TokenizedExample> examples = [];

    /// <inheritdoc/>
    public int Count => examples.Count;

    /// <inheritdoc/>
    public TokenizedExample this[int index] => examples[index];

    /// <summary>Reads and tokenizes a jsonl file.</summary>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is <see cref="Conversations.BadRows.Error"/>, or no row is left.</exception>
    public static TrainingSet Read(string path, Glm4Template template, ExampleOptions? options = null, CancellationToken stop = default) =>
        throw new NotImplementedException();

    /// <inheritdoc/>
    public IEnumerator<TokenizedExample> GetEnumerator() => examples.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
