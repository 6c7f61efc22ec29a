using System.Diagnostics;
using System.Text.Json;
using GlmTune.Data.Tokenization;
using PeerTokenizer = Tokenizers.DotNet.Tokenizer;

namespace GlmTune.Benchmarks.Tokenization;

/// <summary>Times the encoding of texts, in one process and on one thread, by our tokenizer and by Hugging Face's
/// tokenizers library (Rust) on the same vocabulary.</summary>
internal static class EncodingBenchmark
{
    /// <summary>Every string in a JSON Lines file is a text.</summary>
    /// <param name="modelFolder">Folder with a tokenizer.</param>
    /// <param name="file">The JSON Lines file.</param>
    /// <param name="rounds">Number of rounds; the two take turns, and the median counts.</param>
    /// <returns>The exit code: 1 if the ids of a text differ.</returns>
    public static int Run(string modelFolder, string file, int rounds)
    {
        var texts = TextsOf(file);
        var ours = TokenizerFile.Read(modelFolder);
        var folder = Directory.CreateTempSubdirectory("glmtune-bench-");
        try
        {
            TokenizerFile.WriteLibrary(ours, folder.FullName);
            using var peer = new PeerTokenizer(Path.Combine(folder.FullName, "tokenizer.json"));
            var (characters, tokens) = (0L, 0L);
            foreach (var text in texts)
            {
                var ids = ours.Encode(text);
                if (!ids.SequenceEqual(WithoutPrefix(peer.Encode(text), ours)))
                {
                    Console.Error.WriteLine($"The ids differ: {text}");
                    return 1;
                }

                characters += text.Length;
                tokens += ids.Length;
            }

            Console.WriteLine($"{texts.Count:N0} texts, {characters:N0} characters, {tokens:N0} tokens; ids equal.");
            var (oursSeconds, peerSeconds) = (new List<double>(), new List<double>());
            for (var round = 0; round < rounds; round++)
            {
                oursSeconds.Add(Seconds(texts, text => ours.Encode(text).Length));
                peerSeconds.Add(Seconds(texts, text => peer.Encode(text).Length));
            }

            Print("GlmTune", oursSeconds, tokens, characters);
            Print("tokenizers", peerSeconds, tokens, characters);
            Console.WriteLine($"ratio: {Median(peerSeconds) / Median(oursSeconds):F2}");
            return 0;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>The peer starts every text with the two tokens that every sequence has.</summary>
    private static IEnumerable<int> WithoutPrefix(uint[] ids, Tokenizer ours)
    {
        var all = ids.Select(id => (int)id);
        return ids.Length >= 2 && ids[0] == ours.Special.GMask && ids[1] == ours.Special.Sop ? all.Skip(2) : all;
    }

    private static void Print(string name, List<double> seconds, long tokens, long characters) =>
        Console.WriteLine(
            $"{name,-10} {Median(seconds) * 1000,8:F1} ms (best {seconds.Min() * 1000:F1}), "
                + $"{tokens / Median(seconds) / 1e6:F2} M tokens/s, "
                + $"{characters / Median(seconds) / 1e6:F2} M characters/s"
        );

    private static double Seconds(List<string> texts, Func<string, int> encode)
    {
        var watch = Stopwatch.StartNew();
        foreach (var text in texts)
        {
            _ = encode(text);
        }

        return watch.Elapsed.TotalSeconds;
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static List<string> TextsOf(string file)
    {
        var texts = new List<string>();
        void Collect(JsonElement value)
        {
            switch (value.ValueKind)
            {
                case JsonValueKind.String:
                    texts.Add(value.GetString()!);
                    break;
                case JsonValueKind.Object:
                    foreach (var member in value.EnumerateObject())
                    {
                        Collect(member.Value);
                    }

                    break;
                case JsonValueKind.Array:
                    foreach (var item in value.EnumerateArray())
                    {
                        Collect(item);
                    }

                    break;
            }
        }

        foreach (var line in File.ReadLines(file))
        {
            using var document = JsonDocument.Parse(line);
            Collect(document.RootElement);
        }

        return texts;
    }
}
