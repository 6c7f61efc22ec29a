using System.Runtime.InteropServices;
using GlmTune.Kernels.Native;
using TorchSharp;

namespace GlmTune.Kernels.Dispatch;

/// <summary>The functions of libtorch's C interface used here. Each returns 0 on success.</summary>
/// <remarks>Source: torch/csrc/stable/c/shim.h and torch/csrc/inductor/aoti_torch/c/shim.h of PyTorch 2.10.</remarks>
internal static unsafe class AtenShim
{
    /// <summary>The release for which this code's operator schemas were written, in libtorch's encoding of
    /// versions.</summary>
    public const ulong SchemaVersion = (2UL << 56) | (10UL << 48);

    public static readonly delegate* unmanaged<byte*, byte*, ulong*, ulong, int> CallDispatcher;
    public static readonly delegate* unmanaged<nint, nint*, int> NewTensorHandle;
    public static readonly delegate* unmanaged<nint*, int> NewUndefinedTensor;
    public static readonly delegate* unmanaged<nuint, nint*, int> NewList;
    public static readonly delegate* unmanaged<nint, ulong, int> ListPush;
    public static readonly delegate* unmanaged<nint, nuint*, int> ListSize;
    public static readonly delegate* unmanaged<nint, nuint, ulong*, int> ListItem;
    public static readonly delegate* unmanaged<nint, int> DeleteList;
    public static readonly delegate* unmanaged<byte*, nuint, nint*, int> NewString;

    // Simple getters, for which the garbage collector need not be notified that managed code is left.
    public static readonly delegate* unmanaged[SuppressGCTransition]<nint, nint*, int> DataPointer;
    public static readonly delegate* unmanaged[SuppressGCTransition]<nint, int*, int> DataType;
    public static readonly delegate* unmanaged[SuppressGCTransition]<nint, long**, int> Sizes;
    public static readonly delegate* unmanaged[SuppressGCTransition]<nint, byte*, int> IsContiguous;
    public static readonly delegate* unmanaged<long, long*, long*, int, int, int, nint*, int> EmptyStrided;
    public static readonly delegate* unmanaged<
        void*,
        long,
        long*,
        long*,
        long,
        int,
        int,
        int,
        nint*,
        int> TensorFromBlob;

    static AtenShim()
    {
        var library = Open("torch_cpu");
        CallDispatcher = (delegate* unmanaged<byte*, byte*, ulong*, ulong, int>)Export(
            library,
            "torch_call_dispatcher"
        );
        NewTensorHandle = (delegate* unmanaged<nint, nint*, int>)Export(library, "aoti_torch_new_tensor_handle");
        NewUndefinedTensor = (delegate* unmanaged<nint*, int>)Export(library, "aoti_torch_new_uninitialized_tensor");
        NewList = (delegate* unmanaged<nuint, nint*, int>)Export(library, "torch_new_list_reserve_size");
        ListPush = (delegate* unmanaged<nint, ulong, int>)Export(library, "torch_list_push_back");
        ListSize = (delegate* unmanaged<nint, nuint*, int>)Export(library, "torch_list_size");
        ListItem = (delegate* unmanaged<nint, nuint, ulong*, int>)Export(library, "torch_list_get_item");
        DeleteList = (delegate* unmanaged<nint, int>)Export(library, "torch_delete_list");
        NewString = (delegate* unmanaged<byte*, nuint, nint*, int>)Export(library, "torch_new_string_handle");
        DataPointer = (delegate* unmanaged[SuppressGCTransition]<nint, nint*, int>)Export(
            library,
            "aoti_torch_get_data_ptr"
        );
        DataType = (delegate* unmanaged[SuppressGCTransition]<nint, int*, int>)Export(library, "aoti_torch_get_dtype");
        Sizes = (delegate* unmanaged[SuppressGCTransition]<nint, long**, int>)Export(library, "aoti_torch_get_sizes");
        IsContiguous = (delegate* unmanaged[SuppressGCTransition]<nint, byte*, int>)Export(
            library,
            "aoti_torch_is_contiguous"
        );
        EmptyStrided = (delegate* unmanaged<long, long*, long*, int, int, int, nint*, int>)Export(
            library,
            "aoti_torch_empty_strided"
        );
        TensorFromBlob = (delegate* unmanaged<void*, long, long*, long*, long, int, int, int, nint*, int>)Export(
            library,
            "aoti_torch_create_tensor_from_blob"
        );
    }

    /// <summary>One of libtorch's libraries that is already loaded: <c>torch_cpu</c>, <c>torch_cuda</c>.</summary>
    public static nint Open(string name)
    {
        var file =
            OperatingSystem.IsWindows() ? $"{name}.dll"
            : OperatingSystem.IsMacOS() ? $"lib{name}.dylib"
            : $"lib{name}.so";
        return NativeLibrary.TryLoad(Path.Combine(NativeRuntime.Load().Folder, file), out var library)
            ? library
            : NativeLibrary.Load(name, typeof(torch).Assembly, null);
    }

    /// <summary>A function of <paramref name="library"/>.</summary>
    /// <exception cref="EntryPointNotFoundException">The library does not export it.</exception>
    public static nint Export(nint library, string name) =>
        NativeLibrary.TryGetExport(library, name, out var address)
            ? address
            : throw new EntryPointNotFoundException(
                $"libtorch has no function '{name}'. GlmTune needs libtorch 2.10 or newer."
            );

    /// <summary>Throws if a call failed that cannot fail on valid input.</summary>
    public static void Check(int code, string action)
    {
        if (code != 0)
        {
            throw new AtenException($"libtorch failed to {action}.");
        }
    }
}
