using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Preprocessing;

/// <summary>Identifies rows as used in training: their number, and a hash of their tokens and supervised ranges, in
/// order.</summary>
/// <remarks>Checkpoints contain it, so it must not change.</remarks>
internal sealed class ExampleFingerprint : IDisposable
{
    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private int count;

    /// <summary>The fingerprint of all examples.</summary>
    public static string Of(IEnumerable<TokenizedExample> examples)
    {
        using var fingerprint = new ExampleFingerprint();
        foreach (var example in examples)
        {
            fingerprint.Add(example);
        }

        return fingerprint.Finish();
    }

    /// <summary>Adds the next example.</summary>
    public void Add(TokenizedExample example)
    {
        count++;
        ReadOnlySpan<int> ids = example.TokenIds;
        hash.AppendData(MemoryMarshal.AsBytes([ids.Length, example.Supervised.Count]));
        hash.AppendData(MemoryMarshal.AsBytes(ids));
        foreach (var (start, end) in example.Supervised)
        {
            hash.AppendData(MemoryMarshal.AsBytes([start, end]));
        }
    }

    /// <summary>The fingerprint of what was added.</summary>
    public string Finish() =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{count}:{Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16))}"
        );

    /// <inheritdoc/>
    public void Dispose() => hash.Dispose();
}
