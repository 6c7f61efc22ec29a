using TorchSharp;

namespace GlmTune.Collectives;

/// <summary>What one rank makes for a run; freed at the run's end, the last first.</summary>
/// <remarks>
/// Where this rank alone fails on a GPU, nothing is freed: that would wait for work which itself waits for calls that
/// the other ranks never answer, and would keep them from hearing of the failure until the collective timeout. The
/// process ends then anyway. Not thread-safe. </remarks>
public sealed class RankResources
{
    private readonly Stack<IDisposable> owned = new();

    private RankResources() { }

    /// <summary>Runs <paramref name="work"/>, and frees what it made.</summary>
    /// <param name="ranks">The ranks; null: alone.</param>
    /// <param name="work">Hands over what it makes by <see cref="Own"/>.</param>
    public static T Use<T>(ICollectives? ranks, Func<RankResources, T> work)
    {
        var resources = new RankResources();
        try
        {
            var result = work(resources);
            resources.Free();
            return result;
        }
        catch (Exception error)
        {
            if (ranks is null || MayFree(error, ranks.WorldSize, ranks.Device.type))
            {
                resources.Free();
            }

            throw;
        }
    }

    /// <summary>Takes something over.</summary>
    /// <returns>The same.</returns>
    public T Own<T>(T part)
        where T : IDisposable
    {
        owned.Push(part);
        return part;
    }

    /// <summary>Whether nothing that is freed after an error waits for another rank.</summary>
    /// <param name="error">What went wrong.</param>
    /// <param name="ranks">How many ranks there are.</param>
    /// <param name="device">Where they compute.</param>
    internal static bool MayFree(Exception error, int ranks, DeviceType device) =>
        ranks == 1 || device == DeviceType.CPU || error is SharedFailureException or OperationCanceledException;

    private void Free()
    {
        while (owned.TryPop(out var part))
        {
            part.Dispose();
        }
    }
}
