using TorchSharp;

namespace GlmTune.Collectives;

/// <summary>Resources that one rank creates for a run; released at its end, in reverse order.</summary>
/// <remarks>If only this rank fails on a GPU, nothing is released: releasing would wait for work that itself waits for
/// calls which the other ranks never answer, and would delay the report of the failure until the collective timeout.
/// The process ends anyway. Not thread-safe.</remarks>
internal sealed class RankResources
{
    private readonly Stack<IDisposable> owned = new();

    private RankResources() { }

    /// <summary>Runs <paramref name="work"/>, and releases what it created.</summary>
    /// <param name="ranks">The ranks; null: a single rank.</param>
    /// <param name="work">The work; it registers resources with <see cref="Own"/>.</param>
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

    /// <summary>Registers a resource.</summary>
    /// <returns>The resource.</returns>
    public T Own<T>(T part)
        where T : IDisposable
    {
        owned.Push(part);
        return part;
    }

    /// <summary>Whether releasing resources after an error cannot wait for another rank.</summary>
    /// <param name="error">The error.</param>
    /// <param name="ranks">Number of ranks.</param>
    /// <param name="device">Device that the ranks compute on.</param>
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
