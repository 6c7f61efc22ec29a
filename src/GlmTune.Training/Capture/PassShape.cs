namespace GlmTune.Training.Capture;

/// <summary>The sizes that passes must share to replay the same CUDA graph; smaller passes are padded.</summary>
/// <param name="Tokens">Number of tokens, padded by a sequence without supervised tokens.</param>
/// <param name="Sequences">Number of sequences, padded by empty ones.</param>
/// <param name="Targets">Number of targets, padded by ignored ones.</param>
/// <param name="Drops">Whether there is dropout.</param>
/// <param name="Recomputed">Number of layers that are recomputed.</param>
/// <param name="SelectivelyRecomputed">Number of layers of which cheap parts are recomputed.</param>
internal readonly record struct PassShape(
    int Tokens,
    int Sequences,
    int Targets,
    bool Drops,
    int Recomputed,
    int SelectivelyRecomputed
)
{
    private const int TokenStep = 64;

    /// <summary>The shape to which a pass is padded, chosen for few distinct shapes and little padding.</summary>
    public static PassShape Of(TrainingPass pass, bool drops, int recomputed = 0, int selectivelyRecomputed = 0)
    {
        var tokens = (pass.TokenIds.Length + TokenStep - 1) / TokenStep * TokenStep;
        var sequences = 2;
        while (sequences < pass.Sequences.Count + 1)
        {
            sequences *= 2;
        }

        return new PassShape(
            tokens,
            sequences,
            pass.Targets.Count <= tokens / 2 ? tokens / 2 : tokens,
            drops,
            recomputed,
            selectivelyRecomputed
        );
    }
}
