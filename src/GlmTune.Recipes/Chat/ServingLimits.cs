using System.Globalization;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Recipes.Planning;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Chat;

/// <summary>How a server that has its devices for itself uses them: what is not set follows from their free
/// memory.</summary>
internal sealed record ServingLimits
{
    /// <summary>Most answers generated concurrently unless set: beyond it, more rows add little to the tokens per
    /// second of a current GPU, because its arithmetic is used up.</summary>
    public const int MaxSlots = 256;

    /// <summary>Maximum tokens per step of a GPU unless set: beyond it, matrix products gain little speed, and every
    /// answer waits longer for its next token (some 30 ms a step for a 9B model on an H100).</summary>
    public const int GpuBatchTokens = 1024;

    /// <summary>The same for a CPU.</summary>
    public const int CpuBatchTokens = 256;

    // A shorter share of the cache for each answer would make answers wait for each other.
    private const int TokensPerSlot = 512;

    // Memory of captured passes, of the library's work spaces and of the allocator's gaps.
    private const long WorkingBytes = 3L << 29;

    // Copies of the logits of all rows while tokens are sampled.
    private const int LogitCopies = 4;

    /// <summary>Maximum answers generated concurrently; null: as many as the memory holds, at most
    /// <see cref="MaxSlots"/>, and on a CPU the default of <see cref="GenerationLimits"/>.</summary>
    public int? Slots { get; init; }

    /// <summary>Share of each GPU's memory that the process may use, above 0 and at most 1. Default: 0.9.</summary>
    public double GpuMemory { get; init; } = 0.9;

    /// <summary>Maximum tokens of prompt and answer together; null: what the model supports.</summary>
    public int? MaxModelLength { get; init; }

    /// <summary>Maximum tokens per step; null: <see cref="GpuBatchTokens"/> or <see cref="CpuBatchTokens"/>.</summary>
    public int? BatchTokens { get; init; }

    /// <summary>Most LoRA adapters in the memory of the device at once; null: all that are loaded.</summary>
    public int? MaxAdapters { get; init; }

    /// <summary>Whether adapters may be loaded while the server runs.</summary>
    public bool TakesAdapters { get; init; }

    /// <summary>Checks what can be checked before weights are loaded.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <exception cref="InvalidDataException">The length is beyond the model's.</exception>
    public void Check(ModelConfig config)
    {
        if (MaxModelLength > config.MaxPositions)
        {
            throw new InvalidDataException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"--max-model-len is {MaxModelLength}, but this model supports at most "
                        + $"{config.MaxPositions} tokens."
                )
            );
        }
    }

    /// <summary>The limits for a loaded model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="memory">Free and total bytes of the device with the least free memory; null: unknown, as on a
    /// CPU.</param>
    /// <param name="devices">Number of devices that share the layers, and so the cache.</param>
    /// <exception cref="InvalidDataException">No room is left for a cache.</exception>
    public GenerationLimits For(DecoderModel model, (long Free, long Total)? memory, int devices = 1)
    {
        Check(model.Config);
        var limits = new GenerationLimits
        {
            MaxLength = MaxModelLength,
            PassTokens = BatchTokens ?? (memory is null ? CpuBatchTokens : GpuBatchTokens),
        };
        if (memory is not { } device)
        {
            return limits with { Slots = Slots ?? limits.Slots };
        }

        var perToken = ((ICausalLm)model).CachedTokenBytes;
        var cache = (CacheBytes(model.Config, model.Type, limits.PassTokens, device) * devices) / perToken * perToken;
        var least = perToken * Math.Min(TokensPerSlot, MaxModelLength ?? model.Config.MaxPositions);
        if (cache < least)
        {
            throw new InvalidDataException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"No memory is left for keys and values: {ByteCount.Text(device.Free)} of "
                        + $"{ByteCount.Text(device.Total)} are free, --gpu-memory {GpuMemory} leaves "
                        + $"{ByteCount.Text(Math.Max(0, cache))} of them, and one answer needs "
                        + $"{ByteCount.Text(least)}. Raise --gpu-memory, lower --max-batch-tokens, or use more "
                        + $"or larger GPUs."
                )
            );
        }

        return limits with
        {
            CacheBytes = cache,
            ReservesCache = true,
            Slots = Slots ?? (int)Math.Clamp(cache / (perToken * TokensPerSlot), 1, MaxSlots),
        };
    }

    /// <summary>Limits as a sentence for the log.</summary>
    /// <param name="model">The model.</param>
    /// <param name="limits">From <see cref="For"/>.</param>
    public static string Describe(DecoderModel model, GenerationLimits limits)
    {
        var cached = limits.CacheBytes / ((ICausalLm)model).CachedTokenBytes;
        var longest = Math.Min(limits.MaxLength ?? int.MaxValue, model.Config.MaxPositions);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"Up to {limits.Slots} answers at a time, {limits.PassTokens} tokens per step; keys and values of "
                + $"{cached} tokens ({ByteCount.Text(limits.CacheBytes)}); prompt and answer at most {longest} tokens."
        );
    }

    private long CacheBytes(ModelConfig config, ScalarType type, int passTokens, (long Free, long Total) device)
    {
        var parts = AnswerMemory.For(config, type, Slots ?? MaxSlots, 1, passTokens, 1);
        var working = parts.Skip(2).Sum(part => part.Name == "logits" ? LogitCopies * part.Bytes : part.Bytes);
        return device.Free - (long)((1 - GpuMemory) * device.Total) - working - WorkingBytes;
    }
}
