using System.Diagnostics.CodeAnalysis;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>What a forward pass saves for its backward pass, as a stack, because the backward pass runs in reverse
/// order.</summary>
/// <remarks>Entries live outside dispose scopes. The caller that takes an entry disposes it; disposing the tape
/// disposes the rest. Not thread-safe: one tape serves one layer's pass.</remarks>
internal sealed class Tape : IDisposable
{
    private readonly Stack<IDisposable> saved = new();

    /// <summary>Whether values that are cheap to compute are recomputed in the backward pass instead of being
    /// saved.</summary>
    public bool RecomputesSelectively { get; init; }

    /// <summary>Number of entries that have not been taken.</summary>
    public int Count => saved.Count;

    /// <summary>Bytes of the tensors saved; what would be computed again is not counted.</summary>
    public long Bytes => saved.OfType<Tensor>().Sum(tensor => tensor.numel() * tensor.ElementSize);

    /// <summary>Saves a second handle to <paramref name="tensor"/>'s memory; the caller keeps ownership of its own
    /// handle.</summary>
    public void Save(Tensor tensor) => saved.Push(tensor.alias().DetachFromDisposeScope());

    /// <summary>Saves a value, or the means to recompute it if <see cref="RecomputesSelectively"/>.</summary>
    /// <param name="tensor">The value; remains owned by the caller.</param>
    /// <param name="again">Recomputes it; null: it cannot be recomputed.</param>
    public void Save(Tensor tensor, Recomputation? again)
    {
        if (RecomputesSelectively && again is not null)
        {
            saved.Push(
                new Remaking(
                    [.. again.Sources.Select(source => source.alias().DetachFromDisposeScope())],
                    again.Compute
                )
            );
        }
        else
        {
            Save(tensor);
        }
    }

    /// <summary>Saves <paramref name="state"/> itself; it then belongs to the tape.</summary>
    public void Save(IDisposable state) => saved.Push(state);

    /// <summary>The tensor saved last; the caller disposes it.</summary>
    public Tensor TakeTensor()
    {
        var entry = saved.Pop();
        if (entry is not Remaking remaking)
        {
            return (Tensor)entry;
        }

        using (remaking)
        {
            return remaking.Compute(remaking.Sources);
        }
    }

    /// <summary>The state saved last; the caller disposes it.</summary>
    public T Take<T>()
        where T : IDisposable => (T)saved.Pop();

    /// <summary>The state saved last, if it is of this type; the caller disposes it.</summary>
    public bool TryTake<T>([NotNullWhen(true)] out T? state)
        where T : class, IDisposable
    {
        state = saved.TryPeek(out var top) ? top as T : null;
        return state is not null && saved.TryPop(out _);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        while (saved.TryPop(out var entry))
        {
            entry.Dispose();
        }
    }

    private sealed record Remaking(Tensor[] Sources, Func<Tensor[], Tensor> Compute) : IDisposable
    {
        public void Dispose()
        {
            foreach (var source in Sources)
            {
                source.Dispose();
            }
        }
    }
}
