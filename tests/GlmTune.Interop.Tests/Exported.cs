using GlmTune.Data.Tokenization;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Weights.Gguf;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Interop.Tests;

/// <summary>Models as our own code and as llama.cpp see them.</summary>
internal static class Exported
{
    /// <summary>The folder of glm-nano.</summary>
    public static string Nano { get; } = Path.GetFullPath(GoldenData.Path("../../models/glm-nano"));

    /// <summary>Writes a GGUF file.</summary>
    /// <param name="folder">A model or adapter.</param>
    /// <param name="file">Path of the file.</param>
    /// <param name="type">Type of the file; null: the model's.</param>
    /// <param name="layout">Fused or not; null: as the model.</param>
    /// <param name="baseModel">Base model of an adapter; null: the one that it names.</param>
    public static string Write(
        string folder,
        string file,
        GgufFileType? type = null,
        CheckpointLayout? layout = null,
        string? baseModel = null
    )
    {
        var files = TunedChatFiles.Read(folder, new TunedChatOptions { BaseModel = baseModel });
        using var export = GgufExport.Plan(files, type, layout);
        export.Write(file);
        return file;
    }

    /// <summary>Our own logits after each token, in float32.</summary>
    public static float[][] Logits(TunedPath path, int[] ids)
    {
        using var tuned = TunedModel.Load(path, ScalarType.Float32, CPU);
        return Logits(tuned.Model, ids);
    }

    /// <summary>Our own logits after each token.</summary>
    public static float[][] Logits(DecoderModel model, int[] ids)
    {
        using var scope = NewDisposeScope();
        var logits = model.Logits(ids, SequenceLayout.OfRows(1, ids.Length, CPU));
        return [.. logits.data<float>().ToArray().Chunk((int)logits.shape[1])];
    }

    /// <summary>‖a − b‖ / ‖b‖.</summary>
    public static double Distance(float[][] a, float[][] b)
    {
        Assert.Equal(b.Length, a.Length);
        var (difference, norm) = (0.0, 0.0);
        for (var row = 0; row < a.Length; row++)
        {
            Assert.Equal(b[row].Length, a[row].Length);
            for (var i = 0; i < a[row].Length; i++)
            {
                difference += Math.Pow(a[row][i] - (double)b[row][i], 2);
                norm += Math.Pow(b[row][i], 2);
            }
        }

        return Math.Sqrt(difference / norm);
    }

    /// <summary>Mean of −log p(next token).</summary>
    public static double Loss(float[][] logits, int[] ids)
    {
        var sum = 0.0;
        for (var i = 0; i + 1 < ids.Length; i++)
        {
            var (largest, total) = ((double)logits[i].Max(), 0.0);
            foreach (var x in logits[i])
            {
                total += Math.Exp(x - largest);
            }

            sum += largest + Math.Log(total) - logits[i][ids[i + 1]];
        }

        return sum / (ids.Length - 1);
    }

    /// <summary>A copy of a golden model, with a tokenizer: single bytes and the special tokens.</summary>
    public static string WithTokenizer(string folder, string target)
    {
        Directory.CreateDirectory(target);
        foreach (var file in Directory.EnumerateFiles(folder))
        {
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
        }

        byte[][] bytes = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })];
        TokenizerFile.WriteOriginal(new Tokenizer(bytes, SpecialTokens.After(256)), target);
        return target;
    }
}
