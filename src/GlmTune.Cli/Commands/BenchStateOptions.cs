using System.CommandLine;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;

namespace GlmTune.Cli.Commands;

/// <summary>Options of <c>glmtune bench train</c> for type and place of the optimizer's state, with the recipe keys'
/// names and values.</summary>
internal sealed class BenchStateOptions
{
    private readonly Option<string> moments = new("--optimizer-state")
    {
        Description = "type of AdamW's moments",
        DefaultValueFactory = _ => "float32",
    };

    private readonly Option<string> masters = new("--master-weights")
    {
        Description = "float32, or none: trained weights are the only copy and are rounded stochastically",
        DefaultValueFactory = _ => "float32",
    };

    private readonly Option<bool> byLayer = new("--update-by-layer")
    {
        Description = "update each layer behind its backward pass, without gradient clipping",
    };

    private readonly Option<bool> optimizer = new("--offload-optimizer")
    {
        Description = "keep the optimizer state in host memory",
    };

    private readonly Option<bool> parameters = new("--offload-param")
    {
        Description = "keep the weights in host memory and bring them in layer by layer",
    };

    public BenchStateOptions()
    {
        moments.AcceptOnlyFromAmong("float32", "bfloat16", "int8");
        masters.AcceptOnlyFromAmong("float32", "none");
    }

    /// <summary>Adds the options to a command, and the check that they go together.</summary>
    /// <param name="command">The command.</param>
    /// <param name="accumulate">Its number of micro-batches per step.</param>
    /// <param name="rank">Its LoRA rank.</param>
    /// <param name="processes">Its number of processes.</param>
    public void AddTo(Command command, Option<int> accumulate, Option<int> rank, Option<int?> processes)
    {
        foreach (var option in (Option[])[moments, masters, byLayer, optimizer, parameters])
        {
            command.Add(option);
        }

        command.Validators.Add(given =>
        {
            if (given.GetValue(masters) == "none" && given.GetValue(rank) != 0)
            {
                given.AddError("--master-weights none requires --lora-rank 0: an adapter keeps its master weights");
            }

            if (given.GetValue(byLayer) && (given.GetValue(accumulate) > 1 || given.GetValue(processes) > 1))
            {
                given.AddError("--update-by-layer requires one micro-batch per step and one process");
            }
        });
    }

    /// <summary>The sharding of a benchmark.</summary>
    /// <param name="given">The command line.</param>
    /// <param name="stage">ZeRO stage.</param>
    public ShardingOptions Sharding(ParseResult given, int stage)
    {
        var sharding = new ShardingOptions
        {
            Stage = stage,
            State = new StateOptions
            {
                Moments = given.GetValue(moments) switch
                {
                    "bfloat16" => StateType.BFloat16,
                    "int8" => StateType.Int8,
                    _ => StateType.Float32,
                },
                MasterWeights = given.GetValue(masters) != "none",
            },
            UpdatesByLayer = given.GetValue(byLayer),
        };
        sharding = given.GetValue(optimizer) ? sharding.WithOptimizerOnHost() : sharding;
        return given.GetValue(parameters) ? sharding.WithParametersOnHost() : sharding;
    }
}
