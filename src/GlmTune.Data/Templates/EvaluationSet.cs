using System.Collections;

namespace GlmTune.Data.Templates;

/// <summary>All answers of one split to generate and compare, in the file's order.</summary>
public sealed class EvaluationSet : IReadOnlyList<EvaluationExample>
{
    private readonly List<EvaluationExample> examples = [];

    /// <inheritdoc/>
    public int Count => examples.Count;

    /// <inheritdoc/>
    public EvaluationExample this[int index] => examples[index];

    /// <summary>Reads and tokenizes a jsonl file.</summary>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is <see cref="Conversations.BadRows.Error"/>, or no row is left.</exception>
    public static EvaluationSet Read(string path, Glm4Template template, ExampleOptions? options = null, CancellationToken stop = default) =>
        throw new NotImplementedException();

    /// <inheritdoc/>
    public IEnumerator<EvaluationExample> GetEnumerator() => examples.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
