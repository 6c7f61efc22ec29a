namespace GlmTune.Model;

/// <summary>How a decode pass divides its arena: a start, two sections that layers use in turn, and an end.</summary>
/// <param name="Begin">Bytes of the start.</param>
/// <param name="Layer">Bytes of each of the two.</param>
/// <param name="End">Bytes of the end.</param>
internal readonly record struct DecodeSections(long Begin, long Layer, long End)
{
    /// <summary>Bytes of the arena.</summary>
    public long Bytes => Begin + (2 * Layer) + End;

    /// <summary>Generous sizes: the outputs of a layer's kernels, and attention's partial sums.</summary>
    public static DecodeSections Of(ModelConfig config, int rows)
    {
        const long Slack = 1 << 20;
        const long PartialSums = 17L << 20;
        var wide = 4L * rows;
        long RoundUp(long bytes) => (bytes + 255) / 256 * 256;
        var begin = RoundUp((wide * (config.HiddenSize + config.HeadDim)) + Slack);
        var layer = RoundUp(
            (
                wide
                * (
                    (8L * config.HiddenSize)
                    + config.Heads.FusedWidth
                    + config.Heads.QueryWidth
                    + (3L * config.FeedForwardSize)
                )
            )
                + PartialSums
                + Slack
        );
        var end = RoundUp((wide * (config.VocabularySize + (4L * config.HiddenSize))) + Slack);
        return new DecodeSections(begin, layer, end);
    }
}
