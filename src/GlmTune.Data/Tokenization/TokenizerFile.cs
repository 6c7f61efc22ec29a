namespace GlmTune.Data.Tokenization;

/// <summary>A tokenizer's files in a model folder: GLM-4's own layout, and the library layout.</summary>
/// <remarks>
/// Original: <c>tokenizer.model</c> (ranks) and <c>tokenizer_config.json</c> (special tokens, chat template).
/// Library: <c>tokenizer.json</c> and <c>tokenizer_config.json</c>, which transformers and vLLM read.
/// </remarks>
public static class TokenizerFile
{
    /// <summary>Reads a model folder's tokenizer, from <c>tokenizer.model</c> if it is there, else from <c>tokenizer.json</c>.</summary>
    /// <exception cref="InvalidDataException">There is no tokenizer in the folder, or a file is damaged or of another kind.</exception>
    public static Tokenizer Read(string folder)
    {
        var model = Path.Combine(folder, "tokenizer.model");
        var ranks = TokenRanks.Parse(File.ReadAllBytes(model), model);
        return new Tokenizer(ranks, SpecialTokens.After(ranks.Length));
    }
}
