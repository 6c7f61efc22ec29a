using System.Text;
using GlmTune.SampleData.Ads;
using GlmTune.SampleData.Models;
using GlmTune.SampleData.Pretrain;
using GlmTune.SampleData.Tools;

namespace GlmTune.SampleData;

/// <summary>Everything that this program writes: the same bytes each time.</summary>
internal static class SampleFiles
{
    /// <summary>Each file's path from the repository's root, with slashes, and its content.</summary>
    public static IReadOnlyList<(string Path, byte[] Content)> Write()
    {
        var ads = AdConversations.Write(seed: 1);
        var tools = ToolConversations.Write(seed: 2);
        var pretrain = PretrainConversations.Write(seed: 3);
        return
        [
            ("data/ads/train.jsonl", Lines(ads.Train)),
            ("data/ads/dev.jsonl", Lines(ads.Dev)),
            ("data/ads/test.jsonl", Lines(ads.Test)),
            ("data/tools/train.jsonl", Lines(tools.Train)),
            ("data/tools/dev.jsonl", Lines(tools.Dev)),
            ("data/pretrain/train.jsonl", Lines(pretrain.Train)),
            ("data/pretrain/dev.jsonl", Lines(pretrain.Dev)),
            .. NanoModelFolder
                .Write([.. ads.Train, .. tools.Train, .. pretrain.Train])
                .Select(file => ($"models/glm-nano/{file.Name}", file.Content)),
        ];
    }

    private static byte[] Lines(IEnumerable<Conversation> rows) =>
        Encoding.UTF8.GetBytes(string.Concat(rows.Select(row => $"{row.ToJson()}\n")));
}
