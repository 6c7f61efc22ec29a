using System.Collections;

namespace GlmTune.Data.Templates;

/// <summary>Examples whose sizes are known without reading their tokens.</summary>
internal abstract class ExampleList : IReadOnlyList<TokenizedExample>
{
    /// <inheritdoc/>
    public abstract int Count { get; }

    /// <summary>Reads an example; a new object each time.</summary>
    public abstract TokenizedExample this[int index] { get; }

    /// <summary>Number of tokens of each example. Not to be changed.</summary>
    public abstract IReadOnlyList<int> Tokens { get; }

    /// <summary>Number of supervised tokens of an example.</summary>
    public abstract int SupervisedTokensOf(int index);

    /// <summary>Examples as they are in a list.</summary>
    public static ExampleList Of(IReadOnlyList<TokenizedExample> examples) =>
        examples as ExampleList ?? new Listed(examples);

    /// <inheritdoc/>
    public IEnumerator<TokenizedExample> GetEnumerator()
    {
        for (var i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private sealed class Listed(IReadOnlyList<TokenizedExample> examples) : ExampleList
    {
        public override int Count => examples.Count;

        public override TokenizedExample this[int index] => examples[index];

        public override IReadOnlyList<int> Tokens { get; } = [.. examples.Select(example => example.TokenIds.Length)];

        public override int SupervisedTokensOf(int index) => examples[index].SupervisedTokens;
    }
}
