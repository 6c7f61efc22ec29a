using System.Runtime.CompilerServices;
using GlmTune.Kernels.Native;

namespace GlmTune;

/// <summary>Finds libtorch before the first test uses it, whichever that is: TorchSharp's own search, if it comes
/// first, fails once and for all.</summary>
internal static class LoadedLibtorch
{
    [ModuleInitializer]
    internal static void Load() => NativeRuntime.Load();
}
