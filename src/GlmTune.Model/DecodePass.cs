using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>What a decode pass computed.</summary>
/// <param name="Logits">[size, V], on the device.</param>
/// <param name="Next">float64 [2, size]: the most likely tokens, then their logits.</param>
internal sealed record DecodeResults(Tensor Logits, Tensor Next) : IDisposable
{
    public void Dispose()
    {
        Logits.Dispose();
        Next.Dispose();
    }
}

/// <summary>A captured decode pass, and the tensors that its replays write.</summary>
internal sealed record CapturedDecode(CudaGraph Graph, DecodeResults Results) : IDisposable
{
    public void Dispose()
    {
        Graph.Dispose();
        Results.Dispose();
    }
}

/// <summary>Decode passes of one size: their numbers, memory and graphs.</summary>
/// <param name="size">Rows, including those that pad it.</param>
/// <param name="adapted">Whether rows may have served adapters.</param>
/// <param name="device">Device of the tensors.</param>
internal sealed class DecodePass(int size, bool adapted, Device device) : IDisposable
{
    // Rows of the small tensor.
    public const int Ids = 0;
    public const int Slots = 1;
    public const int Adapters = 2;
    public const int Order = 3; // The sequences by adapter, and tiles of them, as in MixedRows.
    public const int Tiles = 4;
    public const int SlotPositions = 5; // The rows from here on increase by one in every pass.
    public const int Lengths = 6;
    public const int Positions = 7;
    public const int Numbers = 8;

    private DecodeResults? uncaptured;

    public int Size => size;

    public bool Adapted => adapted;

    public SequenceLayout Sequences { get; } = SequenceLayout.OfRows(size, 1, device);

    public Tensor Input { get; } = zeros([Numbers, size], ScalarType.Int64, device).DetachFromDisposeScope();

    /// <summary>The tokens that a table chose last.</summary>
    public Tensor Drawn { get; } = zeros(size, ScalarType.Int64, device).DetachFromDisposeScope();

    public Dictionary<(int Reach, bool Uneven), CapturedDecode> Captures { get; } = [];

    public TensorArena? Arena { get; set; }

    public int Uncaptured { get; set; }

    public DecodeResults? Results { get; private set; }

    public void Keep(DecodeResults results)
    {
        uncaptured?.Dispose();
        Results = uncaptured = results;
    }

    public void Use(CapturedDecode capture) => Results = capture.Results;

    public void Dispose()
    {
        uncaptured?.Dispose();
        foreach (var capture in Captures.Values)
        {
            capture.Dispose();
        }

        Input.Dispose();
        Drawn.Dispose();
        Sequences.Dispose();
        Arena?.Dispose();
    }
}
