using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>MPI types for a run of bytes whose neighbours, one a rank, lie a given stride apart.</summary>
/// <remarks>One element of such a type stands for the whole run, so no count or offset goes beyond 31 bits however large the tensor.</remarks>
internal sealed class MpiBlocks
{
    private const int Kept = 256;
    private readonly Dictionary<(int Length, long Stride), nint> types = [];

    /// <summary>The type for <paramref name="length"/> bytes at every <paramref name="stride"/> bytes.</summary>
    public nint Of(int length, long stride)
    {
        if (types.TryGetValue((length, stride), out var known))
        {
            return known;
        }
        if (types.Count == Kept)
        {
            Free();
        }
        MpiNative.Check(MpiNative.TypeContiguous(length, MpiLibrary.Current.TypeByte, out var run), "MPI_Type_contiguous");
        MpiNative.Check(MpiNative.TypeResized(run, 0, (nint)stride, out var block), "MPI_Type_create_resized");
        MpiNative.Check(MpiNative.TypeFree(ref run), "MPI_Type_free");
        MpiNative.Check(MpiNative.TypeCommit(ref block), "MPI_Type_commit");
        types.Add((length, stride), block);
        return block;
    }

    /// <summary>Gives the types back; one that a request still uses is kept by MPI until that is done.</summary>
    public void Free()
    {
        foreach (var type in types.Values)
        {
            var freed = type;
            MpiNative.Check(MpiNative.TypeFree(ref freed), "MPI_Type_free");
        }
        types.Clear();
    }
}
