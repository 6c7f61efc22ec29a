using System.Text;

namespace GlmTune.Weights.Gguf;

/// <summary>Writes a GGUF file, the format of llama.cpp and Ollama, tensor by tensor.</summary>
/// <remarks>Version 3, little-endian: "GGUF", version, number of tensors, number of metadata entries; the metadata; for
/// each tensor its name, dimensions (the fastest first), type and offset; then the data. Data and tensors start at
/// multiples of 32 bytes. Everything is declared first; then each tensor's bytes are written, in any order of
/// tensors.</remarks>
internal sealed class GgufWriter : TensorFileWriter
{
    private const uint Version = 3;
    private const int Alignment = 32;

    /// <summary>Starts a file: writes its header and reserves space for its data.</summary>
    /// <param name="path">Path of the file; an existing file is replaced by
    /// <see cref="TensorFileWriter.Complete"/>.</param>
    /// <param name="metadata">Architecture, tokenizer and so on.</param>
    /// <param name="tensors">All tensors, in the order of their data.</param>
    /// <exception cref="ArgumentException">A name is declared twice.</exception>
    /// <exception cref="IOException">There is too little space, or the file cannot be created.</exception>
    public GgufWriter(string path, GgufMetadata metadata, IReadOnlyList<GgufTensor> tensors)
        : base(path, Plan(metadata, tensors)) { }

    /// <summary>Length of such a file in bytes.</summary>
    /// <param name="metadata">Its metadata.</param>
    /// <param name="tensors">Its tensors.</param>
    public static long Length(GgufMetadata metadata, IReadOnlyList<GgufTensor> tensors) =>
        Plan(metadata, tensors).Length;

    private static FileLayout Plan(GgufMetadata metadata, IReadOnlyList<GgufTensor> tensors)
    {
        using var stream = new MemoryStream();
        using var file = new BinaryWriter(stream, Encoding.UTF8);
        file.Write("GGUF"u8);
        file.Write(Version);
        file.Write((ulong)tensors.Count);
        file.Write((ulong)metadata.Count);
        metadata.Write(file);
        List<long> offsets = [];
        long end = 0;
        foreach (var tensor in tensors)
        {
            GgufMetadata.Write(file, tensor.Name);
            file.Write((uint)tensor.Shape.Length);
            foreach (var size in Enumerable.Reverse(tensor.Shape))
            {
                file.Write((ulong)size);
            }

            file.Write((uint)tensor.Type);
            file.Write((ulong)end);
            offsets.Add(end);
            end = Aligned(checked(end + tensor.ByteCount));
        }

        file.Flush();
        var start = Aligned(stream.Length);
        stream.SetLength(start);
        return new FileLayout(
            stream.ToArray(),
            [
                .. tensors.Zip(
                    offsets,
                    (tensor, offset) =>
                        new TensorPlace(tensor.Name, tensor.ToString(), start + offset, tensor.ByteCount)
                ),
            ],
            start + end
        );
    }

    private static long Aligned(long offset) => (offset + Alignment - 1) / Alignment * Alignment;
}
