using GlmTune.Kernels.Memory;
using GlmTune.Training.Optimization;

namespace GlmTune.Recipes.Planning;

/// <summary>Whether training fits the memory that there is, and what makes it fit.</summary>
/// <param name="Demand">What was asked for.</param>
/// <param name="Plan">What it takes.</param>
/// <param name="Available">Bytes of each device.</param>
/// <param name="Where">What messages call the device.</param>
internal sealed record MemoryFit(MemoryDemand Demand, MemoryPlan Plan, long Available, string Where)
{
    private const int MaxRanks = 1024;

    // A prediction may be so far off; what is above the memory by less is not refused.
    private const double Tolerance = 0.03;

    /// <summary>Whether it fits.</summary>
    public bool Fits => FitsDevice(Plan) && FitsHost(Plan);

    /// <summary>Whether it cannot fit, the prediction's error considered.</summary>
    public bool IsImpossible => Plan.DeviceBytes * (1 - Tolerance) > Available || !FitsHost(Plan);

    /// <summary>Bytes of host memory for each rank; null: not known, and nothing is compared with it.</summary>
    public long? HostAvailable { get; private init; }

    /// <summary>Settings that make it fit, the cheapest in speed first and none of them needless; empty: it fits, or no
    /// setting makes it.</summary>
    public IReadOnlyList<MemoryChange> Changes { get; private init; } = [];

    /// <summary>The plan with <see cref="Changes"/>; null: there are none.</summary>
    public MemoryPlan? Changed { get; private init; }

    /// <summary>Compares a demand with the memory that there is.</summary>
    /// <param name="demand">What is trained, and how.</param>
    /// <param name="available">Bytes of each device.</param>
    /// <param name="where">What messages call the device, such as <c>cuda:0</c>.</param>
    /// <param name="host">Bytes of host memory for each rank; null: not known.</param>
    /// <exception cref="InvalidDataException">The adapter does not fit the model.</exception>
    public static MemoryFit Of(MemoryDemand demand, long available, string where, long? host = null)
    {
        var plan = MemoryPlan.For(demand, available);
        if (host < plan.HostBytes && plan.CopyBytes > 0)
        {
            demand = demand with { CopiesCheckpoints = false };
            var without = MemoryPlan.For(demand, available);
            plan = without.HostBytes <= host ? without : plan;
        }

        var fit = new MemoryFit(demand, plan, available, where) { HostAvailable = host };
        if (fit.Fits)
        {
            return fit;
        }

        List<MemoryChange> chosen = [];
        foreach (var change in MemoryChange.Possible(demand))
        {
            chosen.RemoveAll(other => other.Kind == change.Kind);
            chosen.Add(change);
            if (!fit.FitsHost(With(demand, chosen, available)))
            {
                chosen.Remove(change);
            }
            else if (fit.FitsDevice(With(demand, chosen, available)))
            {
                Prune(demand, chosen, available);
                return fit with { Changes = chosen, Changed = With(demand, chosen, available) };
            }
        }

        return fit;
    }

    /// <summary>Other ways, which change what is trained or need more devices; sentences without full stops.</summary>
    public IReadOnlyList<string> OtherWays()
    {
        List<string> ways = [];
        if (!Demand.TrainsAdapter)
        {
            if (SmallerState() is { } smaller)
            {
                ways.Add(smaller);
            }

            ways.Add("train an adapter (configs/lora.yaml)");
        }

        var sharded = Demand with { Sharding = Demand.Sharding with { Stage = 3 } };
        var (few, many) = (Demand.Ranks, MaxRanks);
        if (Demand.Ranks < MaxRanks && Sharded(many))
        {
            while (many - few > 1)
            {
                var middle = (few + many) / 2;
                (few, many) = Sharded(middle) ? (few, middle) : (middle, many);
            }

            ways.Add($"use ZeRO stage 3 on at least {many} such GPUs");
        }

        const int Short = 128;
        var shortest = Demand with { Tokens = Short, LongestSequence = Short, Recompute = null };
        if (Demand.Tokens > Short && MemoryPlan.For(shortest, Available).DeviceBytes <= Available)
        {
            ways.Add("shorten the rows (max_input_length, max_output_length)");
        }

        return ways;

        bool Sharded(int ranks) => MemoryPlan.For(sharded with { Ranks = ranks }, Available).DeviceBytes <= Available;
    }

    // The largest state with which it fits, with as few offloads as possible.
    private string? SmallerState()
    {
        StateOptions[] states =
        [
            new() { Moments = StateType.BFloat16, MasterWeights = false },
            new() { Moments = StateType.Int8, MasterWeights = false },
        ];
        MemoryChangeKind[] offloads =
        [
            MemoryChangeKind.OffloadOptimizer,
            MemoryChangeKind.OffloadParameters,
            MemoryChangeKind.OffloadActivations,
        ];
        for (var count = 0; count <= offloads.Length; count++)
        {
            var changes = offloads.Take(count).Select(kind => new MemoryChange(kind)).ToList();
            foreach (var state in states.Where(state => state != Demand.Sharding.State))
            {
                var smaller = Demand with { Sharding = Demand.Sharding with { State = state }, Recompute = null };
                var plan = With(smaller, changes, Available);
                if (plan.DeviceBytes <= Available)
                {
                    List<string> settings =
                    [
                        $"training_args.optimizer_state: {state.Moments.ToString().ToLowerInvariant()}",
                        "training_args.master_weights: none",
                        .. changes.Select(change => $"{change}"),
                    ];
                    return $"set {string.Join(", ", settings)} (then {ByteCount.Text(plan.DeviceBytes)})";
                }
            }
        }

        return null;
    }

    /// <summary>Refuses what cannot fit, with the arithmetic and the changes that make it fit.</summary>
    /// <param name="named">How a change is called.</param>
    /// <exception cref="InvalidDataException">It cannot fit.</exception>
    public void Require(Func<MemoryChange, string> named)
    {
        if (IsImpossible)
        {
            throw new InvalidDataException($"{Refusal(named)} Nothing was loaded.");
        }
    }

    /// <summary>Why it does not fit, and what to change; sentences.</summary>
    /// <param name="named">How a change is called.</param>
    public string Refusal(Func<MemoryChange, string> named) =>
        FitsHost(Plan) ? DeviceRefusal(named) : HostRefusal(named);

    private bool FitsDevice(MemoryPlan plan) => plan.DeviceBytes <= Available;

    private bool FitsHost(MemoryPlan plan) => HostAvailable is not { } host || OnHost(plan) <= host;

    // What the run cannot do without.
    private static long OnHost(MemoryPlan plan) => plan.HostBytes - plan.CopyBytes;

    private string HostRefusal(Func<MemoryChange, string> named)
    {
        var refusal =
            $"The run does not fit into host memory: it needs {ByteCount.Text(Plan.HostBytes)} there on each rank; "
            + $"this machine has {ByteCount.Text(HostAvailable!.Value)} for each. Offload less, or use shorter rows.";
        return FitsDevice(Plan) ? refusal : $"{refusal} {DeviceRefusal(named)}";
    }

    private string DeviceRefusal(Func<MemoryChange, string> named) =>
        $"The run does not fit: training {(Demand.TrainsAdapter ? "the adapter" : "all weights")} needs {Plan} on each "
        + $"rank; {ByteCount.Text(Available)} are available on {Where}. {Advice(named)}";

    /// <summary>What to change, the cheapest first; a sentence.</summary>
    /// <param name="named">How a change is called.</param>
    public string Advice(Func<MemoryChange, string> named) =>
        (Changes.Count, string.Join(", or ", OtherWays())) switch
        {
            (0, "") => "No setting makes it fit, nor do more GPUs.",
            (0, var other) => $"No setting makes it fit; {other}.",
            (_, var other) => $"To make it fit, set {string.Join(", ", Changes.Select(named))} "
                + $"(then {ByteCount.Text(Changed!.DeviceBytes)}"
                + $"{(OnHost(Changed) > 0 ? $" and {ByteCount.Text(OnHost(Changed))} of host memory" : "")})"
                + $"{(other.Length == 0 ? "" : $"; or {other}")}.",
        };

    /// <summary>Advice after memory ran out although the plan fitted: the plan, and the settings that need less, the
    /// cheapest first; sentences.</summary>
    /// <param name="named">How a change is called; null: as a recipe has it.</param>
    public string AdviceAfterFailure(Func<MemoryChange, string>? named = null)
    {
        var less = MemoryChange
            .Possible(Demand)
            .DistinctBy(change => change.Kind)
            .Select(change => named?.Invoke(change) ?? $"{change}");
        return $"Planned were {Plan}. To need less: {string.Join("; or ", less.Concat(OtherWays()))}.";
    }

    /// <summary>One line for the log.</summary>
    public override string ToString() =>
        $"memory: {Plan} of {ByteCount.Text(Available)} available on {Where}"
        + (Fits ? "" : "; this is close to the limit and may run out");

    private static MemoryPlan With(MemoryDemand demand, IEnumerable<MemoryChange> changes, long available) =>
        MemoryPlan.For(changes.Aggregate(demand, (changed, change) => change.Apply(changed)), available);

    // What came first may not be needed any more.
    private static void Prune(MemoryDemand demand, List<MemoryChange> chosen, long available)
    {
        foreach (var change in chosen.SkipLast(1).ToList())
        {
            if (With(demand, chosen.Where(other => other != change), available).DeviceBytes <= available)
            {
                chosen.Remove(change);
            }
        }
    }
}
