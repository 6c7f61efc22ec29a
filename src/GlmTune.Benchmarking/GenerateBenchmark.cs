using System.Diagnostics;
using System.Text.Json.Serialization;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Planning;
using TorchSharp;
using static TorchSharp.torch;
using Generator = GlmTune.Inference.Generator;

namespace GlmTune.Benchmarking;

/// <summary>Settings of a generation benchmark; the defaults are those of the project's published figures.</summary>
internal sealed record GenerateBenchmarkOptions
{
    /// <summary>A model folder; null: random weights of the 9B shape.</summary>
    public string? Model { get; init; }

    /// <summary>The architecture of random weights. Default: that of the 9B model.</summary>
    public ModelConfig Config { get; init; } = ModelFamilies.Shape(InitializeModel.PublishedShape);

    /// <summary>Batch sizes; each is measured on its own.</summary>
    public IReadOnlyList<int> Batches { get; init; } = [1, 16, 64];

    /// <summary>Tokens per prompt.</summary>
    public int PromptTokens { get; init; } = 128;

    /// <summary>Tokens per answer.</summary>
    public int NewTokens { get; init; } = 256;

    /// <summary>Tokens of the prompt for which the time to the first token is measured; 0: not measured.</summary>
    public int FirstTokenPrompt { get; init; } = 1000;

    /// <summary>Number of prompts for the time to the first token.</summary>
    public int FirstTokenRuns { get; init; } = 10;

    /// <summary>Rank of a LoRA adapter with random values; 0: none.</summary>
    public int LoraRank { get; init; }

    /// <summary>Number of such adapters, which the rows of a batch use in turn; 0: one, attached for all
    /// rows.</summary>
    public int Adapters { get; init; }

    /// <summary>Modules that LoRA adapts; null: query, key and value.</summary>
    public LoraTargets? LoraTargets { get; init; }

    /// <summary>Decoder layers of random weights; null: all layers of the model.</summary>
    public int? Layers { get; init; }

    /// <summary>Sample tokens as a chat does (temperature 0.8, top-p 0.8, top-k 50) instead of taking the most
    /// likely.</summary>
    public bool Sample { get; init; }

    /// <summary>How the weights of the layers are stored: nf4, int8 or fp8; null: in the model's type.</summary>
    public string? Quantization { get; init; }

    /// <summary>Use plain operators only: no fused kernels and no CUDA graphs.</summary>
    public bool Plain { get; init; }
}

/// <summary>Results for one batch size.</summary>
/// <param name="Batch">The batch size.</param>
/// <param name="PromptTokens">Tokens per prompt.</param>
/// <param name="NewTokens">Tokens per answer.</param>
/// <param name="FirstTokenSeconds">Time until every answer had its first token.</param>
/// <param name="TokensPerSecond">Tokens of all answers after the first, divided by the time from then on, including any
/// setup on the way.</param>
/// <param name="StepSeconds">Median time between two tokens of an answer.</param>
/// <param name="ReadGigabytesPerSecond">Bytes of weights and KV cache that a step reads, divided by its median
/// time.</param>
/// <param name="MemoryMiB">Memory in use on the whole device while answering; 0 on the CPU.</param>
internal sealed record GenerateBenchmarkCase(
    int Batch,
    int PromptTokens,
    int NewTokens,
    double FirstTokenSeconds,
    double TokensPerSecond,
    double StepSeconds,
    double ReadGigabytesPerSecond,
    [property: JsonPropertyName("memory_mib")] double MemoryMiB
);

/// <summary>Results of a generation benchmark.</summary>
/// <param name="Kernels">Kernel implementation that ran.</param>
/// <param name="Type">Type of the weights.</param>
/// <param name="Cases">Results for each batch size.</param>
/// <param name="FirstTokenPrompt">Tokens of the prompt for the next value.</param>
/// <param name="FirstTokenSeconds">Median time to the first token of a single answer; null: not measured.</param>
internal sealed record GenerateBenchmarkResult(
    string Kernels,
    string Type,
    IReadOnlyList<GenerateBenchmarkCase> Cases,
    int FirstTokenPrompt,
    double? FirstTokenSeconds
);

/// <summary>Times generation, using the same generator as every other command.</summary>
internal static class GenerateBenchmark
{
    /// <summary>Runs the benchmark.</summary>
    /// <exception cref="InvalidDataException">The model folder is damaged.</exception>
    public static GenerateBenchmarkResult Run(GenerateBenchmarkOptions options)
    {
        NativeRuntime.Load();
        var device = NativeRuntime.DefaultDevice();
        RequireMemory(options, device);
        using var model = Load(options, device);
        using var lora = options.LoraRank == 0 || options.Adapters > 0 ? null : Attach(model, options, 1);
        using var served = options.LoraRank == 0 || options.Adapters == 0 ? null : Serve(model, options);
        var random = new Random(7);
        var first = options.FirstTokenPrompt == 0 ? (double?)null : FirstToken(model, options, random);
        var cases = options.Batches.Select(batch => Measure(model, options, batch, random)).ToList();
        return new GenerateBenchmarkResult(
            model.Kernels.GetType().Name,
            model.Type.ToString(),
            cases,
            options.FirstTokenPrompt,
            first
        );
    }

    private static Lora Attach(DecoderModel model, GenerateBenchmarkOptions options, int seed)
    {
        var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = options.LoraRank,
                Alpha = 32,
                InitWeights = LoraInitialization.Random,
                TargetModules = options.LoraTargets,
            }
        );
        lora.Initialize(seed);
        return lora;
    }

    private static ServedAdapters Serve(DecoderModel model, GenerateBenchmarkOptions options)
    {
        // One set of random values is enough: every adapter has its own copy of them.
        using var lora = Attach(model, options, 1);
        lora.Detach(model);
        var served = new ServedAdapters(model);
        for (var i = 0; i < options.Adapters; i++)
        {
            served.Add(served.Copy($"{i}", lora));
        }

        return served;
    }

    private static void RequireMemory(GenerateBenchmarkOptions options, Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return;
        }

        // The driver answers once libtorch has opened the device.
        empty(1, device: device).Dispose();
        var config = options.Model is { } folder
            ? ModelConfig.Read(ModelReference.Resolve(folder))
            : options.Config with
            {
                LayerCount = options.Layers ?? options.Config.LayerCount,
            };
        var (answers, limits) = (options.Batches.Max(), new GenerationLimits());
        AnswerMemory.Require(
            AnswerMemory.For(
                config,
                ComputeDevice.TypeNamed(null, device),
                answers,
                options.PromptTokens + options.NewTokens,
                Math.Min(limits.PassTokens, (long)answers * options.PromptTokens),
                limits.CacheBytes,
                QuantizationNames.Of(options.Quantization)
            ),
            DeviceMemory.Of(device)?.Free,
            $"{device}",
            "Use a smaller --batch, or fewer --prompt-tokens and --new-tokens."
        );
    }

    private static DecoderModel Load(GenerateBenchmarkOptions options, Device device)
    {
        var type = ComputeDevice.TypeNamed(null, device);
        if (options.Model is { } folder)
        {
            return ModelFolder.Load(
                ModelReference.Resolve(folder),
                type,
                device,
                options.Plain,
                quantization: QuantizationNames.ForAnswers(options.Quantization)
            );
        }

        var shape = options.Config;
        var model = (shape with { LayerCount = options.Layers ?? shape.LayerCount }).NewModel(
            type,
            device,
            options.Plain
        );
        model.InitializeRandomly(1, quantization: QuantizationNames.ForAnswers(options.Quantization));
        return model;
    }

    private static double FirstToken(DecoderModel model, GenerateBenchmarkOptions options, Random random)
    {
        var generator = NewGenerator(model, options, 1, options.FirstTokenPrompt, 1);
        var times = new List<double>();
        for (var run = 0; run < 3 + options.FirstTokenRuns; run++)
        {
            var request = new GenerationRequest(Prompt(model, options.FirstTokenPrompt, random));
            var watch = Stopwatch.StartNew();
            generator.Generate(request);
            if (run >= 3)
            {
                times.Add(watch.Elapsed.TotalSeconds);
            }
        }

        return Median(times);
    }

    private static GenerateBenchmarkCase Measure(
        DecoderModel model,
        GenerateBenchmarkOptions options,
        int batch,
        Random random
    )
    {
        var generator = NewGenerator(model, options, batch, options.PromptTokens, options.NewTokens);
        GenerationRequest[] Requests() =>
            [
                .. Enumerable
                    .Range(0, batch)
                    .Select(row => new GenerationRequest(Prompt(model, options.PromptTokens, random))
                    {
                        Adapter = model.Served is null ? null : $"{row % options.Adapters}",
                    }),
            ];
        // Kernels are compiled and libraries initialized once.
        generator.GenerateAll([
            .. Requests()
                .Select(request => request with { Options = new() { MaxNewTokens = Math.Min(12, options.NewTokens) } }),
        ]);
        var requests = Requests();
        var arrivals = new List<double>[batch];
        for (var i = 0; i < batch; i++)
        {
            arrivals[i] = new List<double>(options.NewTokens);
        }

        var memory = 0.0;
        var tokens = 0;
        var watch = Stopwatch.StartNew();
        generator.GenerateAll(
            requests,
            (row, _) =>
            {
                arrivals[row].Add(watch.Elapsed.TotalSeconds);
                if (++tokens == batch * options.NewTokens)
                {
                    memory = DeviceMemory.Of(model.Device) is { } found ? (found.Total - found.Free) / 1048576.0 : 0;
                }
            }
        );
        var first = arrivals.Max(times => times[0]);
        var end = arrivals.Max(times => times[^1]);
        var step =
            options.NewTokens == 1
                ? 0
                : Median([.. arrivals[0].Zip(arrivals[0].Skip(1), (earlier, later) => later - earlier)]);
        return new GenerateBenchmarkCase(
            batch,
            options.PromptTokens,
            options.NewTokens,
            first,
            options.NewTokens == 1 ? 0 : batch * (options.NewTokens - 1) / (end - first),
            step,
            step == 0 ? 0 : BytesRead(model, batch, options) / step / 1e9,
            memory
        );
    }

    private static Generator NewGenerator(
        DecoderModel model,
        GenerateBenchmarkOptions options,
        int batch,
        int promptTokens,
        int newTokens
    )
    {
        const int Tokens = 151_343;
        var limits = new GenerationLimits { Slots = batch };
        var needed = ((ICausalLm)model).CachedTokenBytes * batch * (promptTokens + newTokens + 128L);
        var defaults = new GenerationOptions { MaxNewTokens = newTokens, EosTokenIds = [] };
        return new Generator(
            model,
            Math.Min(Tokens, model.Config.VocabularySize),
            options.Sample ? defaults with { DoSample = true, Temperature = 0.8, TopP = 0.8, Seed = 1 } : defaults,
            limits with
            {
                CacheBytes = Math.Max(limits.CacheBytes, needed),
            }
        );
    }

    // A step reads every weight except the embedding, of which it takes a few rows, and the keys and values of all
    // tokens so far.
    private static double BytesRead(DecoderModel model, int batch, GenerateBenchmarkOptions options)
    {
        var weights =
            model.Parameters.Sum(parameter =>
                parameter.Quantized?.Matrix.Bytes ?? (parameter.Count * parameter.Type.ElementSize())
            ) - ((long)model.Config.VocabularySize * model.Config.HiddenSize * model.Type.ElementSize());
        return weights
            + (((ICausalLm)model).CachedTokenBytes * batch * (options.PromptTokens + (options.NewTokens / 2.0)));
    }

    private static int[] Prompt(DecoderModel model, int tokens, Random random) =>
        [.. Enumerable.Range(0, tokens).Select(_ => random.Next(Math.Min(100_000, model.Config.VocabularySize)))];

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);
}
