using System.Runtime.CompilerServices;
using GlmTune.Kernels.Native;

namespace GlmTune.Interop.Tests;

/// <summary>Finds libtorch before the first test uses it, whichever that is.</summary>
internal static class LoadedLibtorch
{
    [ModuleInitializer]
    internal static void Load() => NativeRuntime.Load();
}
