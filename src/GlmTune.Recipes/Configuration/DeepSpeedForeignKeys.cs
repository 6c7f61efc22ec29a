namespace GlmTune.Recipes.Configuration;

/// <summary>DeepSpeed keys that have no effect here, or that would change results and are not supported.</summary>
internal static class DeepSpeedForeignKeys
{
    private static readonly (string Reason, string[] Keys)[] WithoutEffect =
    [
        (
            "logging_steps controls logging",
            ["steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "timers"]
        ),
        ("the history is in trainer_state.json", ["tensorboard", "wandb", "csv_monitor", "comet", "monitor_config"]),
        ("step times and bytes sent are always shown", ["flops_profiler", "comms_logger", "autotuning"]),
        (
            "all adapters and models are trained with the same AdamW",
            ["zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer"]
        ),
        ("gradient_checkpointing controls recomputation", ["activation_checkpointing"]),
        (
            "gradients are divided once, by the supervised tokens of all ranks; communication_data_type "
                + "sets the type in which they are sent",
            ["prescale_gradients", "gradient_predivide_factor", "sparse_gradients", "data_types"]
        ),
        (
            "all checkpoints have the same format, for any number of ranks",
            ["checkpoint", "load_universal_checkpoint", "use_node_local_storage", "nebula"]
        ),
        ("weights are gathered layer by layer", ["disable_allgather", "hybrid_engine"]),
        ("nothing is stored on disk during training", ["aio"]),
        ("the vocabulary size is known from the model", ["vocabulary_size"]),
        ("there is a single, uncompiled execution path", ["compile"]),
        ("activations are sent in their own type", ["seq_parallel_communication_data_type"]),
        ("it is not used", ["eigenvalue", "graph_harvesting", "dataloader_drop_last"]),
    ];

    private static readonly string[] NotSupported =
    [
        "amp",
        "elasticity",
        "compression_training",
        "data_efficiency",
        "curriculum_learning",
        "progressive_layer_drop",
        "sparse_attention",
        "quantize_training",
        "weight_quantization",
        "tensor_parallel",
        "torch_autocast",
        "pipeline",
    ];

    public static void Read(Section root, DeepSpeedValues values)
    {
        foreach (var (reason, keys) in WithoutEffect)
        {
            Array.ForEach(keys, key => values.Nothing(root, key, reason));
        }

        Array.ForEach(NotSupported, key => values.NotSupported(root, key, "remove it"));
    }
}
