using System.Globalization;
using GlmTune.Inference;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Weights.Gguf;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Interop.Tests;

/// <summary>Tokens of one answer per second of processor time, beside llama.cpp's: one thread each, in turn in one
/// process. A measurement, run explicitly with OMP_NUM_THREADS=1: GLMTUNE_DECODE_MODEL names a model folder with a
/// tokenizer (default: glm-nano), GLMTUNE_DECODE_TOKENS the tokens of an answer; with GLMTUNE_DECODE_PLAIN=1 our model
/// uses plain operators.</summary>
public sealed class DecodeSpeedTests : IDisposable
{
    private const int Rounds = 5;

    private readonly TemporaryFolder folder = new();

    private static string Folder => Environment.GetEnvironmentVariable("GLMTUNE_DECODE_MODEL") ?? Exported.Nano;

    private static int Tokens =>
        int.Parse(Environment.GetEnvironmentVariable("GLMTUNE_DECODE_TOKENS") ?? "64", CultureInfo.InvariantCulture);

    public void Dispose() => folder.Dispose();

    [Theory(Explicit = true)]
    [InlineData("f32")]
    [InlineData("bf16")]
    [InlineData("q8_0")]
    public void Tokens_per_second(string form)
    {
        Assert.Equal(1, get_num_threads());
        var type =
            form == "f32" ? GgufFileType.F32
            : form == "bf16" ? GgufFileType.BF16
            : GgufFileType.Q8_0;
        using var theirs = new LlamaModel(Exported.Write(Folder, folder.At("model.gguf"), type));
        using var ours = ModelFolder.Load(
            Folder,
            form == "bf16" ? ScalarType.BFloat16 : ScalarType.Float32,
            CPU,
            plain: Environment.GetEnvironmentVariable("GLMTUNE_DECODE_PLAIN") == "1",
            quantization: form == "q8_0" ? new Quantization(FrozenType.Int8, Backward: false) : null
        );
        int[] prompt = [.. Enumerable.Range(0, 16).Select(i => 5 + (7 * i))];
        List<(double Ours, double Theirs)> seconds = [];
        for (var round = 0; round <= Rounds; round++)
        {
            var pair = (SecondsPerToken(ours, prompt), theirs.SecondsPerToken(prompt, Tokens));
            if (round > 0)
            {
                seconds.Add(pair);
            }
        }

        var (our, their) = (Median(seconds.Select(pair => pair.Ours)), Median(seconds.Select(pair => pair.Theirs)));
        TestContext.Current.TestOutputHelper!.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{form}: ours {1 / our:0.0} tokens/s, llama.cpp {1 / their:0.0}, ratio "
                    + $"{Median(seconds.Select(pair => pair.Theirs / pair.Ours)):0.00}"
            )
        );
    }

    private static double SecondsPerToken(DecoderModel model, int[] prompt)
    {
        var generator = new GlmTune.Inference.Generator(
            model,
            model.Config.VocabularySize,
            new GenerationOptions { MaxNewTokens = Tokens, EosTokenIds = [] },
            new GenerationLimits { Slots = 1 }
        );
        List<double> times = [];
        generator.GenerateAll([new GenerationRequest(prompt)], (_, _) => times.Add(ThreadClock.Seconds));
        Assert.Equal(Tokens, times.Count);
        return (times[^1] - times[0]) / (Tokens - 1);
    }

    private static double Median(IEnumerable<double> values) => values.Order().ElementAt(Rounds / 2);
}
