using System.IO.Compression;

namespace GlmTune.Evaluation.Metrics.Jieba;

/// <summary>jieba 0.42.1's dictionary and hidden Markov model, read from the resource that <c>tools/pack-jieba.cs</c>
/// creates and documents.</summary>
internal sealed class JiebaTables
{
    private const string Resource = "jieba-0.42.1.br";

    private static readonly Lazy<JiebaTables> Loaded = new(() => new JiebaTables());

    private JiebaTables()
    {
        using var plain = new MemoryStream();
        using (
            var stream = new BrotliStream(
                typeof(JiebaTables).Assembly.GetManifestResourceStream(Resource)!,
                CompressionMode.Decompress
            )
        )
        {
            stream.CopyTo(plain);
        }

        var reader = new ColumnReader(plain.GetBuffer());
        Dictionary = new WordTrie(ref reader);
        Model = new HiddenMarkovModel(ref reader);
    }

    /// <summary>The tables, loaded on first use and shared by all threads.</summary>
    public static JiebaTables Shared => Loaded.Value;

    public WordTrie Dictionary { get; }

    public HiddenMarkovModel Model { get; }
}
