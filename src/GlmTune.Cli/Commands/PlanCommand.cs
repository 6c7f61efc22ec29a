using System.CommandLine;
using System.Globalization;
using GlmTune.Kernels.Memory;
using GlmTune.Recipes;
using GlmTune.Recipes.Planning;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune plan</c>: predicts the memory of a training run, and says what makes it fit.</summary>
internal static class PlanCommand
{
    public static Command Create(Screen screen)
    {
        var (model, config, set, json) = (Arguments.Model(), Arguments.Config(), Arguments.Set(), Arguments.Json());
        model.Description = "model folder (config.json is enough), or a Hub id of a downloaded model";
        var memory = Memory();
        var gpus = NumberOption.Of("--gpus", "number of GPUs, one rank each", 1, 1, 1024);
        var fit = new Option<bool>("--fit")
        {
            Description = "make the changes that training_args.fit: true would make, and plan with them",
        };
        var command = new Command(
            "plan",
            "Predict the memory of a training run without loading weights. Exit code 0: it fits; 2: it does not."
        )
        {
            model,
            config,
            memory,
            gpus,
            fit,
            set,
            json,
        };
        command.SetAction(given =>
        {
            var found = PlanRun.Of(
                RecipeFile.Read(given.GetRequiredValue(config), given.GetRequiredValue(set)),
                given.GetRequiredValue(model),
                given.GetRequiredValue(gpus),
                given.GetValue(memory)
            );
            var changes = given.GetValue(fit) ? found.Changes : [];
            var plan = changes.Count > 0 ? found.Changed! : found.Plan;
            var fits = plan.DeviceBytes <= found.Available;
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(AsJson(found, plan, fits, changes));
            }
            else
            {
                Write(screen, found, plan, fits, changes);
            }

            return fits ? ExitCode.Done : ExitCode.Users;
        });
        return command;
    }

    private static Option<long?> Memory() =>
        new("--gpu-memory")
        {
            HelpName = "SIZE",
            Description = "memory of each GPU, such as 24GiB or 80GB; default: that of this machine's GPU",
            CustomParser = result =>
            {
                if (ByteCount.TryRead(result.Tokens[0].Value, out var bytes))
                {
                    return bytes;
                }

                result.AddError(
                    $"--gpu-memory: '{result.Tokens[0].Value}' is not a size; expected a number and a unit, such as "
                        + "24GiB or 80GB."
                );
                return null;
            },
        };

    private static string AsJson(MemoryFit found, MemoryPlan plan, bool fits, IReadOnlyList<MemoryChange> changes) =>
        JsonText.Of(
            new
            {
                Fits = fits,
                GpuMemory = found.Available,
                Gpus = found.Demand.Ranks,
                found.Demand.Tokens,
                plan.DeviceBytes,
                plan.HostBytes,
                HostMemory = found.HostAvailable,
                plan.Device,
                plan.Host,
                Recomputed = plan.Recomputed.Describe(),
                Applied = changes.Select(change => $"{change}"),
                Changes = fits ? [] : found.Changes.Select(change => $"{change}"),
                ChangedDeviceBytes = fits ? null : found.Changed?.DeviceBytes,
                OtherWays = fits ? [] : found.OtherWays(),
            }
        );

    private static void Write(
        Screen screen,
        MemoryFit found,
        MemoryPlan plan,
        bool fits,
        IReadOnlyList<MemoryChange> changes
    )
    {
        var output = screen.Lines;
        var demand = found.Demand;
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{demand.Ranks} GPU{(demand.Ranks == 1 ? "" : "s")}, passes of up to {demand.Tokens} tokens, "
                    + $"{plan.Recomputed.Describe()}"
            )
        );
        foreach (var change in changes)
        {
            output.WriteLine($"fit: {change}");
        }

        Part("each GPU", plan.Device);
        Part("host memory of each rank", plan.Host);
        if (plan.HostBytes > 0 && found.HostAvailable is { } host)
        {
            output.WriteLine($"this machine has {ByteCount.Text(host)} of host memory for each rank");
        }

        output.WriteLine(
            fits
                ? $"It fits, and leaves {ByteCount.Text(found.Available - plan.DeviceBytes)} of "
                    + $"{ByteCount.Text(found.Available)} free."
            : plan.DeviceBytes <= found.Available ? found.Refusal(change => $"{change}")
            : $"It does not fit: {ByteCount.Text(plan.DeviceBytes - found.Available)} more than "
                + $"{ByteCount.Text(found.Available)}. {found.Advice(change => $"{change}")}"
        );

        void Part(string title, IReadOnlyList<MemoryPart> parts)
        {
            if (parts.Count == 0)
            {
                return;
            }

            output.WriteLine($"{title}:");
            foreach (var part in parts.Append(new MemoryPart("in all", parts.Sum(part => part.Bytes))))
            {
                // A translation is as wide as its characters are, so that columns would not line up.
                output.WriteLine(
                    screen.Catalogue is null
                        ? $"  {part.Name,-40}{ByteCount.Text(part.Bytes),12}"
                        : "  " + screen.Translated($"{part.Name} {ByteCount.Text(part.Bytes)}")
                );
            }
        }
    }
}
