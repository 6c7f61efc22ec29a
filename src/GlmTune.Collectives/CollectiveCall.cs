using TorchSharp;

namespace GlmTune.Collectives;

/// <summary>Description of one collective call, for messages and for comparison between ranks.</summary>
/// <param name="Collective">The operation.</param>
/// <param name="Type">Type of the elements.</param>
/// <param name="Shape">Shape of the input tensor.</param>
/// <param name="Root">The sending rank of a broadcast; otherwise null.</param>
/// <param name="Label">Where in the run it is called.</param>
internal sealed record CollectiveCall(
    Collective Collective,
    torch.ScalarType Type,
    IReadOnlyList<long> Shape,
    int? Root,
    CallLabel Label
)
{
    /// <summary>Number of consecutive ranks that exchange with each other; null: all.</summary>
    public int? Group { get; init; }

    /// <summary><c>AllGather of bfloat16 [4096, 512]</c>.</summary>
    public string Operation =>
        Collective switch
        {
            Collective.Barrier => "Barrier",
            Collective.Close => "the end of the run",
            _ => $"{Collective} of {NameOf(Type)} "
                + $"[{string.Join(", ", Shape)}]{(Root is { } root ? $" from rank {root}" : "")}"
                + (Group is { } group ? $" among groups of {group}" : ""),
        };

    /// <summary><c>AllGather of bfloat16 [4096, 512] at step 1204, layer 17</c>.</summary>
    public override string ToString() => Label == default ? Operation : $"{Operation} at {Label}";

    private static string NameOf(torch.ScalarType type) =>
        type switch
        {
            torch.ScalarType.Byte => "uint8",
            _ => type.ToString().ToLowerInvariant(),
        };
}
