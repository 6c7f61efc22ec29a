using System.CommandLine;
using GlmTune.Model;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli;

/// <summary>Arguments and options shared by several commands. Each command needs its own instance.</summary>
internal static class Arguments
{
    public static Argument<string> Model() =>
        new("MODEL") { Description = "model folder, or a Hub id (THUDM/glm-4-9b-chat) of a downloaded model" };

    public static Argument<string> Tuned() =>
        new("PATH") { Description = "model folder, adapter folder, or a Hub id of a downloaded model" };

    public static Argument<string> DataFolder() =>
        new("DATA_DIR") { Description = "folder with the data files named in CONFIG" };

    public static Argument<string> Config() =>
        new("CONFIG") { Description = "recipe: a YAML file such as configs/lora.yaml" };

    public static Option<string> Like() =>
        new("--like")
        {
            HelpName = "MODEL",
            Description =
                $"architecture: {string.Join(", ", ModelFamilies.ShapeNames)}, or a model folder (config.json is "
                + "enough)",
            DefaultValueFactory = _ => InitializeModel.PublishedShape,
        };

    public static Option<string?> Base() =>
        new("--base")
        {
            HelpName = "MODEL",
            Description = "base model of an adapter; default: the one named in its adapter_config.json",
        };

    public static Option<string?> Device() =>
        new("--device")
        {
            HelpName = "DEVICE",
            Description = "cpu, cuda or cuda:N; default: the first available GPU, else the CPU",
        };

    public static Option<string?> Quantization(string description)
    {
        var option = new Option<string?>("--quantization")
        {
            HelpName = "TYPE",
            Description = $"{description}: {string.Join(", ", QuantizationNames.All)}",
        };
        option.AcceptOnlyFromAmong([.. QuantizationNames.All]);
        return option;
    }

    public static Option<string?> Devices() =>
        new("--device")
        {
            HelpName = "DEVICE",
            Description =
                "cpu, cuda, cuda:N, or several GPUs to spread the layers over, such as cuda:0,cuda:1; "
                + "default: as few GPUs as can hold the model, else the CPU",
        };

    public static Option<string?> Type(
        string description = "compute type; default: bfloat16 on a GPU, float32 on the CPU"
    )
    {
        var type = new Option<string?>("--dtype") { Description = description };
        type.AcceptOnlyFromAmong([.. ComputeDevice.TypeNames]);
        return type;
    }

    public static Option<bool> Json() => new("--json") { Description = "print JSON" };

    public static Option<string[]> Set() =>
        new("--set")
        {
            HelpName = "KEY=VALUE",
            Description = "override a key of CONFIG, such as training_args.max_steps=20; repeatable",
            DefaultValueFactory = _ => [],
        };
}
