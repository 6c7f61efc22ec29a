namespace GlmTune.Kernels.Memory;

/// <summary>Memory of this machine.</summary>
internal static class HostMemory
{
    /// <summary>Bytes that this process may use, the limit of its container considered.</summary>
    public static long Total => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
}
