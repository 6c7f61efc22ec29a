using System.CommandLine;
using GlmTune.Recipes;

namespace GlmTune.Cli;

/// <summary>Arguments and options that several commands take; a new one each time, because a command owns its
/// own.</summary>
internal static class Arguments
{
    public static Argument<string> Model() =>
        new("MODEL")
        {
            Description = "a model's folder, or a hub id (THUDM/glm-4-9b-chat) in the local Hugging Face cache",
        };

    public static Argument<string> Tuned() =>
        new("PATH")
        {
            Description = "a model's folder, an adapter's folder, or a hub id in the local Hugging Face cache",
        };

    public static Argument<string> DataFolder() =>
        new("DATA_DIR") { Description = "the folder with the data files that CONFIG names" };

    public static Argument<string> Config() =>
        new("CONFIG") { Description = "the recipe, a YAML file such as configs/lora.yaml" };

    public static Option<string?> Base() =>
        new("--base")
        {
            HelpName = "MODEL",
            Description = "the base model of an adapter, instead of the one that its adapter_config.json names",
        };

    public static Option<string?> Device() =>
        new("--device")
        {
            HelpName = "DEVICE",
            Description = "cpu, cuda or cuda:N; the first GPU when one works, else the CPU",
        };

    public static Option<string?> Devices() =>
        new("--device")
        {
            HelpName = "DEVICE",
            Description =
                "cpu, cuda, cuda:N, or several as cuda:0,cuda:1, over which the layers are spread; as few GPUs as hold "
                + "the model when one works, else the CPU",
        };

    public static Option<string?> Type(string description = "type to compute in; bfloat16 on a GPU, float32 on the CPU")
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
            Description = "replace a key of CONFIG, such as training_args.max_steps=20; may be repeated",
            DefaultValueFactory = _ => [],
        };
}
