namespace GlmTune.Training.Optimization;

/// <summary>Seeds of a step's random numbers: each follows from the run's seed, so that a resumed run draws the
/// same.</summary>
internal static class StepSeed
{
    /// <summary>The seed of an update's rounding, the same on every rank.</summary>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="step">Number of the update, from 1.</param>
    public static long OfUpdate(long seed, long step) => Mix(seed, step, 0, 0);

    /// <summary>The seed of the rounding of one addition to a gradient.</summary>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="step">Number of the update, from 1.</param>
    /// <param name="addition">How many gradients were added before.</param>
    /// <param name="rank">Number of the rank.</param>
    public static long OfAddition(long seed, long step, int addition, int rank) => Mix(seed, step, addition + 1L, rank);

    // Each part offsets the seed by a different odd constant.
    private static long Mix(long seed, long step, long part, long rank) =>
        unchecked(
            (seed * 0x2545F4914F6CDD1D)
            ^ (step * 0x5851F42D4C957F2D)
            ^ ((part + 1) * 0x14057B7EF767814F)
            ^ ((rank + 1) * 0x369DEA0F31A53F85)
            ^ 0x632BE59BD9B4E019
        );
}
