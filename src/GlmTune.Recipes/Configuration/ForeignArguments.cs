namespace GlmTune.Recipes.Configuration;

/// <summary>Hugging Face training arguments that have no effect here, or that would change results and are not
/// supported.</summary>
internal static class ForeignArguments
{
    private static readonly (string Reason, string[] Keys)[] WithoutEffect =
    [
        (
            "batches are prepared in this process while the device computes",
            [
                "dataloader_num_workers",
                "dataloader_prefetch_factor",
                "dataloader_persistent_workers",
                "dataloader_pin_memory",
                "dataloader_multiprocessing_context",
            ]
        ),
        ("rows contain only what the model reads", ["remove_unused_columns", "label_names", "length_column_name"]),
        ("messages are few and always shown", ["log_level", "log_level_replica", "log_on_each_node"]),
        (
            "runs are identified by their output folders",
            ["run_name", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"]
        ),
        ("progress bars appear only on a terminal", ["disable_tqdm"]),
        ("a loss that is not finite ends the run before any weight changes", ["logging_nan_inf_filter"]),
        (
            "ranks find each other through their launcher",
            [
                "local_rank",
                "ddp_backend",
                "xpu_backend",
                "tpu_num_cores",
                "tpu_metrics_debug",
                "use_mps_device",
                "ray_scope",
                "mp_parameters",
            ]
        ),
        (
            "gradients are reduced layer by layer",
            ["ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"]
        ),
        ("every row is used once over all ranks", ["accelerator_config", "split_batches", "dispatch_batches"]),
        ("the loss is always divided by the supervised tokens of all ranks", ["average_tokens_across_devices"]),
        ("weights are always written as safetensors", ["save_safetensors"]),
        ("each rank writes its own part", ["save_on_each_node", "enable_jit_checkpoint"]),
        ("there are no callbacks to restore", ["restore_callback_states_from_checkpoint"]),
        (
            "nothing is uploaded",
            [
                "push_to_hub",
                "hub_model_id",
                "hub_strategy",
                "hub_token",
                "hub_private_repo",
                "hub_always_push",
                "hub_revision",
                "push_to_hub_model_id",
                "push_to_hub_organization",
                "push_to_hub_token",
            ]
        ),
        (
            "`train` trains, evaluates according to eval_strategy, and predicts the test file if there is one",
            ["do_train", "do_eval", "do_predict"]
        ),
        (
            "evaluation scores one batch at a time and keeps only the answers",
            [
                "eval_accumulation_steps",
                "batch_eval_metrics",
                "include_inputs_for_metrics",
                "include_for_metrics",
                "eval_do_concat_batches",
                "eval_use_gather_object",
            ]
        ),
        ("evaluation uses the type of the weights", ["bf16_full_eval", "fp16_full_eval"]),
        ("fp16 is not supported", ["fp16_opt_level", "fp16_backend", "half_precision_backend"]),
        ("matrix products keep the type of the weights", ["tf32"]),
        (
            "there is a single, uncompiled execution path",
            [
                "torch_compile",
                "torch_compile_backend",
                "torch_compile_mode",
                "torchdynamo",
                "jit_mode_eval",
                "use_ipex",
                "use_liger_kernel",
                "liger_kernel_config",
            ]
        ),
        ("there is only one kind of recomputation", ["gradient_checkpointing_kwargs"]),
        ("training uses no cache", ["use_cache"]),
        ("memory is freed as soon as it is unused", ["torch_empty_cache_steps", "skip_memory_metrics"]),
        ("runs with the same seed are identical", ["full_determinism"]),
        ("tokens per second are always shown", ["include_tokens_per_second", "include_num_input_tokens_seen"]),
        ("it is not used", ["debug", "past_index", "use_legacy_prediction_loop", "optim_args"]),
        ("fsdp is not supported", ["fsdp_config", "fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap"]),
    ];

    private static readonly (string Key, string Advice, string Neutral)[] NotSupported =
    [
        ("adafactor", "the optimizer is AdamW; remove it", ""),
        ("optim_target_modules", "the optimizer is AdamW; remove it", ""),
        ("label_smoothing_factor", "the loss is plain cross-entropy; write 0", ""),
        ("neftune_noise_alpha", "embeddings get no noise; remove it", ""),
        ("group_by_length", "to avoid padding, set packing: true", ""),
        ("sortish_sampler", "to avoid padding, set packing: true", ""),
        ("train_sampling_strategy", "rows are shuffled with data_seed; to avoid padding, set packing: true", "random"),
        ("ignore_data_skip", "a resumed run continues with the row where it stopped; write false", ""),
        ("auto_find_batch_size", "set per_device_train_batch_size", ""),
        (
            "prediction_loss_only",
            "evaluation always computes the loss; to compute nothing else, set predict_with_generate: false",
            ""
        ),
        ("generation_max_length", "set generation_config.max_new_tokens", ""),
        ("fsdp", "to shard the model, set training_args.deepspeed to a DeepSpeed file", ""),
        ("sharded_ddp", "to shard the model, set training_args.deepspeed to a DeepSpeed file", ""),
        ("parallelism_config", "to shard the model, set training_args.deepspeed to a DeepSpeed file", ""),
        ("tp_size", "to shard the model, set training_args.deepspeed to a DeepSpeed file", "1"),
    ];

    private static readonly string[] Trackers =
    [
        "aim",
        "clearml",
        "codecarbon",
        "comet",
        "dagshub",
        "dvclive",
        "flyte",
        "mlflow",
        "neptune",
        "swanlab",
        "trackio",
        "visualdl",
        "wandb",
    ];

    /// <summary>Ignores the settings of experiment trackers, whatever their names.</summary>
    public static void ReadTrackers(Section section) =>
        section.NoEffect(key =>
        {
            var words = key.ToLowerInvariant().Split('_');
            var name = words[0] == "use" && words.Length > 1 ? words[1] : words[0];
            return Trackers.Contains(name)
                ? $"{name} is not supported; a run writes its own log, and TensorBoard files if report_to asks "
                    + "for them"
                : null;
        });

    public static void Read(Section arguments)
    {
        ReadTrackers(arguments);
        foreach (var (reason, keys) in WithoutEffect)
        {
            Array.ForEach(keys, key => arguments.NoEffect(key, reason));
        }

        Array.ForEach(NotSupported, key => arguments.Unsupported(key.Key, key.Advice, key.Neutral));
    }
}
