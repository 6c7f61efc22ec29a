using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads <c>zero_optimization</c>.</summary>
internal sealed class DeepSpeedZero(DeepSpeedValues values, int? hiddenSize)
{
    public ShardingOptions Read(Section root)
    {
        var defaults = new ShardingOptions();
        var section = root.Child("zero_optimization");
        section.Rename("stage3_gather_fp16_weights_on_model_save", "stage3_gather_16bit_weights_on_model_save");
        var stage = section.Int("stage", defaults.Stage, most: 3);
        values.Became(
            section,
            "stage",
            stage switch
            {
                0 => "0: nothing is sharded",
                1 => "1: optimizer state is sharded",
                2 => "2: optimizer state and gradients are sharded",
                _ => "3: optimizer state, gradients and weights are sharded",
            }
        );
        var hidden = (long?)hiddenSize;
        var sharding = new ShardingOptions
        {
            Stage = stage,
            ReduceBucketElements = values.Elements(
                section,
                "reduce_bucket_size",
                defaults.ReduceBucketElements,
                hidden * hidden
            ),
            AllGatherBucketElements = values.Elements(
                section,
                "allgather_bucket_size",
                defaults.AllGatherBucketElements,
                null
            ),
            OverlapCommunication = values.Flag(section, "overlap_comm", defaults.OverlapCommunication),
            SubGroupElements = values.Elements(section, "sub_group_size", defaults.SubGroupElements, null),
        };
        var idle = stage == 3 ? null : $"it applies to stage 3, and this is stage {stage}";
        sharding = sharding with
        {
            PrefetchElements = values.Elements(
                section,
                "stage3_prefetch_bucket_size",
                defaults.PrefetchElements,
                hidden * hidden * 9 / 10,
                idle
            ),
            PersistenceThreshold = values.Elements(
                section,
                "stage3_param_persistence_threshold",
                defaults.PersistenceThreshold,
                hidden * 10,
                idle
            ),
            MaxLiveElements = values.Elements(
                section,
                "stage3_max_live_parameters",
                defaults.MaxLiveElements,
                null,
                idle
            ),
            MaxReuseDistance = values.Elements(
                section,
                "stage3_max_reuse_distance",
                defaults.MaxReuseDistance,
                null,
                idle
            ),
            GatherWeightsOnSave = values.Flag(
                section,
                "stage3_gather_16bit_weights_on_model_save",
                defaults.GatherWeightsOnSave,
                idle
            ),
        };
        sharding = Offload(section, sharding);
        Others(section);
        values.End(section);
        return sharding;
    }

    private ShardingOptions Offload(Section section, ShardingOptions sharding)
    {
        var optimizer = Device(section, "offload_optimizer");
        var parameters = Device(section, "offload_param");
        var old = values.Flag(section, "cpu_offload", false);
        var oldParameters = values.Flag(section, "cpu_offload_param", false);
        var pinned = section.FlagOrNull("cpu_offload_use_pin_memory", "true");
        values.Became(section, "cpu_offload_use_pin_memory", Scalars.Write(pinned));
        return sharding with
        {
            OffloadOptimizer = optimizer.Offload || old,
            OffloadParameters = parameters.Offload || oldParameters,
            PinMemory = optimizer.Pin ?? parameters.Pin ?? pinned ?? sharding.PinMemory,
        };
    }

    private (bool Offload, bool? Pin) Device(Section zero, string key)
    {
        var section = zero.Child(key);
        var device = section.Choice(
            "device",
            "none",
            ("none", "none"),
            ("cpu", "cpu"),
            ("nvme", "nvme"),
            ("auto", "none")
        );
        if (device == "nvme")
        {
            section.Problem("device", $"'{section.Full("device")}' is 'nvme', which is not supported; write cpu");
        }

        values.Became(section, "device", device == "cpu" ? "in host memory" : "on the device");
        var pin = section.FlagOrAuto("pin_memory", "true");
        values.Became(section, "pin_memory", Scalars.Write(pin ?? true));
        foreach (
            var other in new[]
            {
                "nvme_path",
                "buffer_count",
                "buffer_size",
                "max_in_cpu",
                "fast_init",
                "pipeline",
                "pipeline_read",
                "pipeline_write",
                "ratio",
                "super_offload",
                "cpuadam_cores_perc",
            }
        )
        {
            values.Nothing(section, other, "host memory is allocated as a whole and copied in the background");
        }

        values.End(section);
        return (device == "cpu", pin);
    }

    private void Others(Section section)
    {
        values.Nothing(section, "allgather_partitions", "updated weights are always gathered");
        values.Nothing(section, "reduce_scatter", "gradients are always sent to their owner only");
        values.Nothing(section, "contiguous_gradients", "gradients are always stored in one buffer");
        foreach (
            var key in new[]
            {
                "use_multi_rank_bucket_allreduce",
                "round_robin_gradients",
                "stage3_use_all_reduce_for_fetch_params",
                "stage3_module_granularity_threshold",
                "stage3_allgather_sequential",
                "stage3_partition_stream_chunk_size",
                "stage3_model_persistence_threshold",
                "memory_efficient_linear",
                "leaf_module",
                "override_module_apply",
                "log_trace_cache_warnings",
                "enable_sanity_checks",
                "ignore_unused_parameters",
                "legacy_stage1",
                "save_muon_momentum_buffer_in_memory",
            }
        )
        {
            values.Nothing(section, key, "weights are gathered and gradients reduced layer by layer");
        }

        foreach (var key in new[] { "load_from_fp32_weights", "elastic_checkpoint", "pipeline_loading_checkpoint" })
        {
            values.Nothing(
                section,
                key,
                "checkpoints contain float32 master weights and can be read by any number of ranks"
            );
        }

        foreach (
            var (key, neutral) in new[]
            {
                ("zero_quantized_weights", ""),
                ("zero_quantized_nontrainable_weights", ""),
                ("zero_quantized_gradients", ""),
                ("zeropp_loco_param", ""),
                ("zero_hpz_partition_size", "1"),
                ("mics_shard_size", "-1"),
                ("mics_hierarchical_params_gather", ""),
                ("zenflow", ""),
            }
        )
        {
            values.NotSupported(
                section,
                key,
                "weights and gradients are sent in full to all ranks; remove it",
                neutral
            );
        }
    }
}
