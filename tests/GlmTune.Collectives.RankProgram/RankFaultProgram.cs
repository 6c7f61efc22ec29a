using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

/// <summary>Two steps of three layers, with four collectives in each; one rank may fail at any of them.</summary>
public static class RankFaultProgram
{
    private const int Layers = 3;

    private static readonly string[] Kinds = ["AllGather", "ReduceScatterSum", "AllReduceSum", "Broadcast"];

    /// <summary>Number of collectives.</summary>
    public static int Count => 2 * Layers * Kinds.Length;

    /// <summary>Description and label of a collective.</summary>
    public static (string Operation, string Label) Place(int at) =>
        (
            $"{Kinds[at % Kinds.Length]} of float32 [6]{(at % Kinds.Length == 3 ? " from rank 0" : "")}",
            $"step {(at / (Layers * Kinds.Length)) + 1}, layer {at / Kinds.Length % Layers}"
        );

    /// <summary>A collective as messages name it.</summary>
    public static string Describe(int at) => $"{Place(at).Operation} at {Place(at).Label}";

    internal static void Run(ICollectives ranks, int? failsAt, bool inside)
    {
        using var scope = NewDisposeScope();
        for (var at = 0; at < Count; at++)
        {
            if (failsAt == at && !inside)
            {
                throw new InvalidDataException("injected");
            }

            var pending = Start(ranks, at);
            if (failsAt == at)
            {
                throw new InvalidDataException("injected");
            }

            pending.Wait();
        }
    }

    private static Pending Start(ICollectives ranks, int at)
    {
        var label = new CallLabel((at / (Layers * Kinds.Length)) + 1, at / Kinds.Length % Layers);
        return (at % Kinds.Length) switch
        {
            0 => ranks.AllGather(zeros(6), zeros(6 * ranks.WorldSize), label),
            1 => ranks.ReduceScatterSum(zeros(6), zeros(6 / ranks.WorldSize), label),
            2 => ranks.AllReduceSum(zeros(6), label),
            _ => ranks.Broadcast(zeros(6), 0, label),
        };
    }
}
