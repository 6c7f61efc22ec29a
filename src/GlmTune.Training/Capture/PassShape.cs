namespace GlmTune.Training.Capture;

/// <summary>What passes must have in common to be replays of one capture; a pass fits by being filled up.</summary>
/// <param name="Tokens">Tokens, filled up by a sequence that teaches nothing.</param>
/// <param name="Sequences">Sequences, filled up by empty ones.</param>
/// <param name="Targets">Targets, filled up by ones that count nothing.</param>
/// <param name="Drops">Whether there is dropout.</param>
/// <param name="Recomputed">Layers that are recomputed.</param>
/// <param name="SelectivelyRecomputed">Layers of which the cheap parts are.</param>
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

    /// <summary>The shape that a pass is filled up to: few different ones, and little to fill.</summary>
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
