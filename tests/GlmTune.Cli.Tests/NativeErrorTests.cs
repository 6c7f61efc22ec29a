namespace GlmTune.Cli.Tests;

/// <summary>Of TorchSharp's native functions, some catch no C++ exception: libtorch's, such as that memory ran out,
/// then ends the process. What the program reaches of them allocates no tensor.</summary>
public sealed class NativeErrorTests
{
    // None of these computes or allocates a tensor: handles, settings, numbers and what a tensor knows of itself.
    private static readonly HashSet<string> Harmless =
    [
        "THSAutograd_isGradEnabled",
        "THSAutograd_setGrad",
        "THSGenerator_new",
        "THSJIT_AllocateTensorOrScalarArray",
        "THSJIT_GetTensorOrScalar",
        "THSJIT_SetTensorOrScalar",
        "THSTensor_alias",
        "THSTensor_device_index",
        "THSTensor_device_type",
        "THSTensor_dispose",
        "THSTensor_is_sparse",
        "THSTensor_names",
        "THSTorchCuda_device_count",
        "THSTorchCuda_is_available",
        "THSTorch_bfloat16_to_scalar",
        "THSTorch_bool_to_scalar",
        "THSTorch_complex32_to_scalar",
        "THSTorch_complex64_to_scalar",
        "THSTorch_float16_to_scalar",
        "THSTorch_float32_to_scalar",
        "THSTorch_float64_to_scalar",
        "THSTorch_get_and_reset_last_err",
        "THSTorch_int16_to_scalar",
        "THSTorch_int32_to_scalar",
        "THSTorch_int64_to_scalar",
        "THSTorch_int8_to_scalar",
        "THSTorch_scalar_type",
        "THSTorch_set_num_threads", // given a number that libtorch named itself
        "THSTorch_uint8_to_scalar",
    ];

    [Fact]
    public void No_native_function_that_catches_nothing_and_allocates_is_reached()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads the Linux library's tables");
        var folder = AppContext.BaseDirectory;
        var library = Path.Combine(folder, "runtimes", "linux-x64", "native", "libLibTorchSharp.so");
        var uncaught = new ExceptionTables(File.ReadAllBytes(library)).FunctionsWithoutHandler();
        Assert.Contains("THSTensor_matmul", uncaught);
        Assert.DoesNotContain("THSTensor_mm", uncaught);

        using var calls = new NativeCalls(Path.Combine(folder, "TorchSharp.dll"));
        var reached = calls.Reached(
            Directory
                .GetFiles(folder, "*.dll")
                .Where(path => Path.GetFileName(path).StartsWith("glmtune", StringComparison.OrdinalIgnoreCase))
                .Where(path => !path.EndsWith("Tests.dll", StringComparison.Ordinal))
                .SelectMany(path => NativeCalls.ReferencesTo("TorchSharp", path))
        );
        Assert.Contains("THSTensor_mm", reached);
        Assert.Contains("THSTensor_empty", reached);
        Assert.Empty(reached.Where(uncaught.Contains).Except(Harmless));
    }
}
