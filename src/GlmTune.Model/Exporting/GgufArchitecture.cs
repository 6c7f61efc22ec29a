namespace GlmTune.Model.Exporting;

/// <summary>How llama.cpp knows an architecture: its name, and its names for the tensors.</summary>
/// <param name="Name">Value of <c>general.architecture</c>, which is also the prefix of the architecture's
/// keys.</param>
/// <param name="PreTokenizer">Name of the rule that splits text before byte-pair encoding.</param>
/// <param name="TensorName">The name in a GGUF file of a tensor with a name of either checkpoint layout, such as
/// <c>blk.0.attn_q.weight</c>; null if there is none.</param>
internal sealed record GgufArchitecture(string Name, string PreTokenizer, Func<string, string?> TensorName)
{
    /// <summary>Ends of the names of matrices that llama.cpp cannot use with an adapter.</summary>
    public IReadOnlyList<string> WithoutAdapters { get; init; } = [];
}
