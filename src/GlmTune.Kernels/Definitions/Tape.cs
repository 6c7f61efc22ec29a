using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>What a forward pass leaves for its backward pass: a stack, since the backward pass asks in the opposite
/// order.</summary>
/// <remarks>
/// Entries live outside dispose scopes. Whoever takes an entry disposes it; disposing the tape disposes what nobody
/// took. Not thread-safe: one tape serves one layer's pass. </remarks>
public sealed class Tape : IDisposable
{
    private readonly Stack<IDisposable> saved = new();

    /// <summary>Whether values that come cheap are made again in the backward pass, not kept.</summary>
    public bool RecomputesSelectively { get; init; }

    /// <summary>Entries not yet taken.</summary>
    public int Count => saved.Count;

    /// <summary>Keeps a second handle to <paramref name="tensor"/>'s memory; the caller's handle stays the
    /// caller's.</summary>
    public void Save(Tensor tensor) => saved.Push(tensor.alias().DetachFromDisposeScope());

    /// <summary>Keeps a value, or what makes it again where <see cref="RecomputesSelectively"/>.</summary>
    /// <param name="tensor">The value; stays the caller's.</param>
    /// <param name="again">What makes it again; null: nothing does.</param>
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

    /// <summary>Keeps <paramref name="state"/> itself; it belongs to the tape from here on.</summary>
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
