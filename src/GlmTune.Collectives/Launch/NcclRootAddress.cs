namespace GlmTune.Collectives;

/// <summary>Host and port for NCCL's own bootstrap, in the form of its variable NCCL_COMM_ID.</summary>
internal static class NcclRootAddress
{
    public const string Variable = "NCCL_COMM_ID";
    private const int FirstSlurmPort = 20_000;
    private const int SlurmPorts = 10_000;

    /// <summary>The address that all ranks of a launcher compute identically; null if the launcher provides
    /// none.</summary>
    public static string? Find(LauncherVariables variables, Launcher launcher)
    {
        if (variables.Text(Variable) is { } given)
        {
            return given;
        }
        // torchrun's own store listens at MASTER_PORT, so NCCL uses the next port.
        var offset = launcher == Launcher.Torchrun ? 1 : 0;
        var port = variables.Number("MASTER_PORT", 1, 65535 - offset) + offset;
        var host = variables.Text("MASTER_ADDR");
        if (launcher == Launcher.Slurm)
        {
            host ??= variables.Text("SLURM_STEP_NODELIST") is { } nodes ? FirstHost(nodes) : null;
            port ??= SlurmPort(variables);
        }

        return host is null || port is null ? null
            : host.Contains(':', StringComparison.Ordinal) && host[0] != '[' ? $"[{host}]:{port}"
            : $"{host}:{port}";
    }

    /// <summary>The first of Slurm's hosts: <c>gpu-[003-005,9]-a,login</c> starts with <c>gpu-003-a</c>.</summary>
    internal static string FirstHost(string nodes)
    {
        var open = nodes.IndexOf('[', StringComparison.Ordinal);
        var comma = nodes.IndexOf(',', StringComparison.Ordinal);
        if (open < 0 || (comma >= 0 && comma < open))
        {
            return comma < 0 ? nodes : nodes[..comma];
        }

        var close = nodes.IndexOf(']', open);
        if (close < 0)
        {
            return nodes;
        }

        var first = nodes[(open + 1)..close].Split('-', ',')[0];
        return nodes[..open] + first + FirstHost(nodes[(close + 1)..]);
    }

    // The same on all ranks, and rarely that of another job on the host; below the range of ephemeral ports.
    private static int? SlurmPort(LauncherVariables variables) =>
        variables.Number("SLURM_JOB_ID") is { } job
            ? FirstSlurmPort + (int)(((job * 31L) + (variables.Number("SLURM_STEP_ID") ?? 0)) % SlurmPorts)
            : null;
}
