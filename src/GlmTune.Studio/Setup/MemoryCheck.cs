using System.Diagnostics;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Studio.Choices;

namespace GlmTune.Studio.Setup;

/// <summary>Asks <c>glmtune plan</c> whether a run fits a GPU.</summary>
/// <remarks>In a process of its own: to ask a GPU for its memory takes half a GiB of it for as long as the process
/// lasts.</remarks>
/// <param name="paths">The folders of the studio.</param>
internal sealed class MemoryCheck(StudioPaths paths)
{
    private const int Fits = 0;
    private const int DoesNotFit = 2;

    /// <summary>Plans a run.</summary>
    /// <param name="recipe">The recipe, as YAML.</param>
    /// <param name="model">The model.</param>
    /// <param name="gpuMemory">Memory of the GPU, such as 24GB; null: that of this machine.</param>
    /// <param name="stop">Ends the process.</param>
    /// <returns>What the command prints as JSON.</returns>
    /// <exception cref="InvalidDataException">It cannot be planned; the message says why.</exception>
    public async Task<JsonNode> PlanAsync(string recipe, string model, string? gpuMemory, CancellationToken stop)
    {
        var file = Path.Combine(paths.Options.OwnFolder, $"plan-{Guid.NewGuid():N}.yaml");
        AtomicFile.WriteText(file, recipe);
        try
        {
            string[] size = gpuMemory is null ? [] : ["--gpu-memory", gpuMemory];
            var command = paths.Options.Program(["plan", model, file, "--json", .. size]);
            var start = new ProcessStartInfo(command[0], command.Skip(1))
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                CreateNoWindow = true,
                WorkingDirectory = paths.Options.WorkingFolder,
            };
            start.Environment["GLMTUNE_LANG"] = "en";
            using var process =
                Process.Start(start) ?? throw new InvalidDataException($"{command[0]}: could not be started.");
            process.StandardInput.Close();
            using var end = stop.Register(() => process.Kill(entireProcessTree: true));
            var error = process.StandardError.ReadToEndAsync(CancellationToken.None);
            var output = await process.StandardOutput.ReadToEndAsync(CancellationToken.None);
            await process.WaitForExitAsync(CancellationToken.None);
            stop.ThrowIfCancellationRequested();
            return process.ExitCode is Fits or DoesNotFit && output.Length > 0
                ? JsonNode.Parse(output)!
                : throw new InvalidDataException(
                    (await error).Trim().Replace(Path.GetFileName(file), "recipe.yaml", StringComparison.Ordinal)
                );
        }
        finally
        {
            Disk.DeleteFile(file);
        }
    }
}
