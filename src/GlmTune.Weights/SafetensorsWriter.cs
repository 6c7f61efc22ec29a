namespace GlmTune.Weights;

/// <summary>Writes a safetensors file tensor by tensor, so that only one of them needs to be in memory.</summary>
/// <remarks>Names, types and shapes are declared first; then each tensor's bytes are written, in any order of tensors.
/// Wider elements come first and the data starts at a multiple of 8 bytes, so every element is aligned in a mapped
/// file.</remarks>
internal sealed class SafetensorsWriter : TensorFileWriter
{
    /// <summary>The metadata that PyTorch software writes and expects.</summary>
    public static readonly IReadOnlyDictionary<string, string> PyTorchFormat = new Dictionary<string, string>
    {
        ["format"] = "pt",
    };

    /// <summary>Starts a file: writes its header and reserves space for its data.</summary>
    /// <param name="path">Path of the file; an existing file is replaced by
    /// <see cref="TensorFileWriter.Complete"/>.</param>
    /// <param name="tensors">All tensors that the file will hold.</param>
    /// <param name="metadata">Text entries of the header; null: <see cref="PyTorchFormat"/>.</param>
    /// <exception cref="ArgumentException">A name is declared twice.</exception>
    /// <exception cref="IOException">There is too little space, or the file cannot be created.</exception>
    public SafetensorsWriter(
        string path,
        IEnumerable<TensorSpec> tensors,
        IReadOnlyDictionary<string, string>? metadata = null
    )
        : base(path, Plan(path, tensors, metadata ?? PyTorchFormat)) { }

    private static FileLayout Plan(
        string path,
        IEnumerable<TensorSpec> tensors,
        IReadOnlyDictionary<string, string> metadata
    )
    {
        var layout = new List<(TensorSpec Spec, long Begin)>();
        long end = 0;
        // stable: order of declaration among equal sizes
        foreach (var spec in tensors.OrderByDescending(tensor => tensor.Type.ByteSize()))
        {
            layout.Add((spec, end));
            end = checked(end + spec.ByteCount);
        }

        var header = SafetensorsHeader.Write(layout, metadata);
        return header.Length - 8 > SafetensorsHeader.LongestBytes
            ? throw new ArgumentException(
                $"{path}: the header has {header.Length - 8} bytes, more than the "
                    + $"{SafetensorsHeader.LongestBytes} that safetensors allows.",
                nameof(tensors)
            )
            : new FileLayout(
                header,
                [
                    .. layout.Select(place => new TensorPlace(
                        place.Spec.Name,
                        place.Spec.ToString(),
                        header.Length + place.Begin,
                        place.Spec.ByteCount
                    )),
                ],
                header.Length + end
            );
    }
}
