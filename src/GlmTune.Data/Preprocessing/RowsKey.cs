using System.Buffers.Binary;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Files;

namespace GlmTune.Data.Preprocessing;

/// <summary>Identifies tokenized rows by everything that they follow from: the bytes of the data file, the tokenizer,
/// all options of template and rows, and the code.</summary>
internal static class RowsKey
{
    private const int BlockBytes = 1 << 20;

    /// <summary>The key: 32 hexadecimal digits.</summary>
    /// <param name="path">The data file, which is read whole. Its name does not matter.</param>
    /// <param name="template">The template with its tokenizer.</param>
    /// <param name="options">Which rows are used.</param>
    /// <param name="stop">Cancels reading.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">It is not a regular file.</exception>
    public static string Of(
        string path,
        Glm4Template template,
        ExampleOptions options,
        CancellationToken stop = default
    )
    {
        var hash = new XxHash128();
        // Whatever properties these records have now or get later, but for the number of threads.
        Append(hash, JsonSerializer.Serialize(template.Options));
        Append(hash, JsonSerializer.Serialize(options with { Parallelism = null }));
        Append(hash, Code);
        Append(hash, template.Tokenizer);
        AppendFile(hash, path, stop);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    // Compilation makes the id of a module from its source. The runtime knows Unicode's categories.
    private static string Code { get; } =
        $"{Footer.Current} {typeof(RowsKey).Module.ModuleVersionId} {typeof(AtomicFile).Module.ModuleVersionId} "
        + RuntimeInformation.FrameworkDescription;

    private static void Append(XxHash128 hash, Tokenizer tokenizer)
    {
        AppendNumber(hash, tokenizer.RankCount);
        foreach (var token in tokenizer.Ranks)
        {
            AppendNumber(hash, token.Length);
            hash.Append(token);
        }

        // Scores and the treatment of spaces too.
        hash.Append(tokenizer.SentencePiece?.File ?? []);
        AppendNumber(hash, tokenizer.Special.All.Count);
        foreach (var (text, id) in tokenizer.Special.All)
        {
            Append(hash, text);
            AppendNumber(hash, id);
        }

        Append(hash, tokenizer.Special.PaddingText);
        Append(hash, tokenizer.ChatTemplate ?? "");
    }

    private static void AppendFile(XxHash128 hash, string path, CancellationToken stop)
    {
        using var file = RegularFile.OpenStream(path, bufferSize: 1);
        var block = new byte[BlockBytes];
        for (int read; (read = file.Read(block)) > 0;)
        {
            stop.ThrowIfCancellationRequested();
            hash.Append(block.AsSpan(0, read));
        }
    }

    private static void Append(XxHash128 hash, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        AppendNumber(hash, bytes.Length);
        hash.Append(bytes);
    }

    private static void AppendNumber(XxHash128 hash, int number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, number);
        hash.Append(bytes);
    }
}
