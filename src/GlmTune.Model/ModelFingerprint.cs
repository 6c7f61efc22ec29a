using System.Buffers.Binary;
using System.Globalization;
using System.IO.Hashing;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Files;
using GlmTune.Files.Json;
using GlmTune.Weights;

namespace GlmTune.Model;

/// <summary>Identifies a model by its weights and its configuration, so that an adapter can be told from one of another
/// base with the same shapes.</summary>
/// <remarks>Tensors of up to 64 KiB are read whole, and 16 pieces of 4 KiB of larger ones: training changes all of
/// them. How the tensors are spread over files does not matter, and neither do keys of <c>config.json</c> that do not
/// change what is computed. A model whose tensors have other names (the other layout) has another
/// fingerprint.</remarks>
/// <param name="Weights">Hash of the tensors: names, types, shapes and values; 32 hexadecimal digits.</param>
/// <param name="Config">Hash of the configuration; 32 hexadecimal digits.</param>
internal sealed partial record ModelFingerprint(string Weights, string Config)
{
    /// <summary>The key under which an adapter's safetensors file records the fingerprint of its base.</summary>
    public const string MetadataKey = "base_fingerprint";

    private const int WholeBytes = 1 << 16;
    private const int Pieces = 16;
    private const int PieceBytes = 4096;

    // Below this size, reading the pieces takes less time than it is worth caching.
    private const long CachedBytes = 1L << 28;

    private static readonly HashSet<string> Cosmetic = new(StringComparer.Ordinal)
    {
        "_name_or_path",
        "architectures",
        "auto_map",
        "bos_token_id",
        "dtype",
        "eos_token_id",
        "pad_token_id",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    };

    /// <summary>The fingerprint of a model folder. That of a large model is remembered in the cache folder until a file
    /// changes.</summary>
    /// <exception cref="InvalidDataException">Configuration or weights are missing or damaged.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static ModelFingerprint Of(string folder)
    {
        using var files = WeightFiles.Open(folder);
        var config = OfConfig(folder);
        if (files.Tensors.Sum(tensor => tensor.ByteCount) < CachedBytes)
        {
            return new ModelFingerprint(OfTensors(files.Tensors), config);
        }

        var stored = CacheFolder.Current.Remember(
            $"fingerprints/{KeyOf(files)}.txt",
            () => Encoding.ASCII.GetBytes(OfTensors(files.Tensors))
        );
        var text = Encoding.ASCII.GetString(stored);
        return new ModelFingerprint(Digits().IsMatch(text) ? text : OfTensors(files.Tensors), config);
    }

    /// <summary>The fingerprint that an adapter records of its base; null if there is none.</summary>
    /// <exception cref="InvalidDataException">The adapter's weights are missing or damaged.</exception>
    public static ModelFingerprint? OfBase(string adapterFolder)
    {
        using var files = WeightFiles.OpenAdapter(adapterFolder);
        return Parse(files.Files[0].Metadata.GetValueOrDefault(MetadataKey));
    }

    /// <summary>Reads what <see cref="ToString"/> writes; null for anything else.</summary>
    public static ModelFingerprint? Parse(string? text) =>
        text?.Split('-') is [var weights, var config] && Digits().IsMatch(weights) && Digits().IsMatch(config)
            ? new ModelFingerprint(weights, config)
            : null;

    /// <summary>Both hashes, with a hyphen between them.</summary>
    public override string ToString() => $"{Weights}-{Config}";

    private static string OfConfig(string folder)
    {
        var json = JsonObject.Create(JsonFile.ReadObject(Path.Combine(folder, ModelConfig.FileName)))!;
        var hash = new XxHash128();
        foreach (
            var (name, value) in json.Where(pair => !Cosmetic.Contains(pair.Key))
                .OrderBy(pair => pair.Key, StringComparer.Ordinal)
        )
        {
            Append(hash, name);
            Append(hash, value?.ToJsonString() ?? "null");
        }

        return Text(hash);
    }

    private static string OfTensors(IEnumerable<StoredTensor> tensors)
    {
        var all = new XxHash128();
        foreach (var tensor in tensors.OrderBy(tensor => tensor.Name, StringComparer.Ordinal))
        {
            Append(all, tensor);
        }

        return Text(all);
    }

    private static void Append(XxHash128 hash, StoredTensor tensor)
    {
        Append(hash, $"{tensor.Name} {tensor.Spec}");
        var (pieces, bytes) = tensor.ByteCount <= WholeBytes ? (1, (int)tensor.ByteCount) : (Pieces, PieceBytes);
        var buffer = new byte[bytes];
        for (var piece = 0; piece < pieces; piece++)
        {
            tensor.CopyTo(buffer, pieces == 1 ? 0 : (tensor.ByteCount - bytes) / (pieces - 1) * piece);
            hash.Append(buffer);
        }
    }

    private static string KeyOf(WeightFiles files)
    {
        var hash = new XxHash128();
        foreach (var file in files.Files)
        {
            var info = new FileInfo(file.Path);
            Append(hash, info.FullName);
            Append(
                hash,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{info.Length} {(info.ResolveLinkTarget(returnFinalTarget: true) ?? info).LastWriteTimeUtc.Ticks}"
                )
            );
        }

        return Text(hash);
    }

    // With its length, so that no two lists of texts give the same bytes.
    private static void Append(XxHash128 hash, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, bytes.Length);
        hash.Append(length);
        hash.Append(bytes);
    }

    private static string Text(XxHash128 hash) => Convert.ToHexStringLower(hash.GetHashAndReset());

    [GeneratedRegex("^[0-9a-f]{32}$", RegexOptions.CultureInvariant)]
    private static partial Regex Digits();
}
