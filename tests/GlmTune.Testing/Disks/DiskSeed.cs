using System.Globalization;

namespace GlmTune.Testing.Disks;

/// <summary>How thoroughly failing disks are tested: a fixed sample with every run of the tests, or everything with a
/// new seed if GLMTUNE_DISK_FAULTS is set, to a seed or to <c>all</c>.</summary>
internal static class DiskSeed
{
    private const int Usual = 20261129;

    /// <summary>Whether everything is to be tried.</summary>
    public static bool IsLong { get; } = Variable is { Length: > 0 };

    /// <summary>The seed, to print with a failure.</summary>
    public static int Value { get; } =
        !IsLong ? Usual
        : int.TryParse(Variable, NumberStyles.None, CultureInfo.InvariantCulture, out var seed) ? seed
        : Environment.TickCount & int.MaxValue;

    private static string? Variable => Environment.GetEnvironmentVariable("GLMTUNE_DISK_FAULTS");
}
