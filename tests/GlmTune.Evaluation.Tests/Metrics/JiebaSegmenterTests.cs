using System.Text.Json;
using CsCheck;
using GlmTune.Evaluation.Metrics.Jieba;

namespace GlmTune.Evaluation.Tests.Metrics;

public sealed class JiebaSegmenterTests
{
    [Fact]
    public void The_repositorys_texts_are_cut_as_jieba_cuts_them()
    {
        using var cases = Json(GoldenData.Path("metrics/own_segmentation.json"));
        AssertCuts(cases.RootElement.EnumerateArray(), "text", "words", atLeast: 160);
    }

    [Theory]
    [InlineData("prediction")]
    [InlineData("label")]
    public void The_repositorys_pairs_are_cut_as_jieba_cuts_them(string text)
    {
        using var cases = Json(GoldenData.Path("metrics/own.json"));
        AssertCuts(cases.RootElement.EnumerateArray(), text, $"{text}_words", atLeast: 160);
    }

    [Theory]
    [InlineData("prediction")]
    [InlineData("label")]
    public void Advertisements_are_cut_as_jieba_cuts_them(string text)
    {
        using var cases = Json(GoldenData.Shared("golden/metrics/advertisegen.json"));
        AssertCuts(cases.RootElement.EnumerateArray(), text, $"{text}_words", atLeast: 200);
    }

    [Fact]
    public void Summaries_are_cut_as_jieba_cuts_them()
    {
        using var cases = Json(GoldenData.Shared("advertisegen/golden_jieba.json"));
        AssertCuts(cases.RootElement.GetProperty("cases").EnumerateArray(), "text", "tokens", atLeast: 200);
    }

    // Expected words are those of jieba 0.42.1.
    [Theory]
    [InlineData("", "")]
    [InlineData("\r\n\n\r \t\u3000", "\r\n|\n|\r| |\t|\u3000")]
    [InlineData("🎉é中", "🎉|é|中")]
    [InlineData("v1.2.3+beta-5%", "v1.2|.|3|+|beta|-|5%")]
    [InlineData("3.14%15.9", "3.14%|15.9")]
    [InlineData("AT&T和c++", "AT&T|和|c++")]
    [InlineData("..a..", "..|a|..")]
    [InlineData("阿·托尔斯泰", "阿|·|托尔斯泰")]
    [InlineData("龘龘靐", "龘|龘|靐")]
    public void Signs_numbers_and_rare_characters_are_cut_as_jieba_cuts_them(string text, string words) =>
        Assert.Equal(words.Length == 0 ? [] : words.Split('|'), JiebaSegmenter.Cut(text));

    [Fact]
    public void No_character_is_lost_or_moved() =>
        Gen.Char[
                "的一是了我不在人们有来他这上着个地到大里说就去子得也和那要下看天时过出小么起你都把好还多没为又可家学只以主会样年想生同老中十从自面前头道它后然走很像见两用她国动进成回什边作对开而己"
                    + "些现山民候经发工向事命给长水几义三声于高手知理眼志点心战二问但身方实吃做叫当住听革打呢真全才四已所敌之最光产情路分总条白话东席次亲如被花口放儿常气五第使写军吧文运再果怎定许快明行因"
                    + "别飞外树物活部门无往船望新带队先力完却站代员机更九您每风级跟笑啊孩万少直意夜比阶连车重便斗马哪化太指变社似士者干石满日决百原拿群究各六本思解立河村八难早论吗根共让相研今其书坐接应关"
                    + "信觉步反处记将千找争领或师结块跑谁草越字加脚紧爱等习阵怕月青半火法题建赶位唱海七女任件感准张团屋离色脸片科倒睛利世刚且由送切星导晚表够整认响雪流未场该并底深刻平伟忙提确近亮轻讲农古"
                    + "黑告界拉名呀土清阳照办史改历转画造嘴此治北必服雨穿内识验传业菜爬睡兴 "
                    + "a1.%+#&_-。，\r\n🎉"
            ]
            .Array[0, 40]
            .Select(characters => new string(characters))
            .Sample(text => string.Concat(JiebaSegmenter.Cut(text)) == text, iter: 2000, seed: "0N0XIzNsQ0O4");

    // What it costs must not grow faster than the text: otherwise this would never end.
    [Fact]
    public void A_million_characters_are_cut_as_their_parts_are()
    {
        using var cases = Json(GoldenData.Path("metrics/own_segmentation.json"));
        var text = string.Concat(cases.RootElement.EnumerateArray().Select(row => row.GetProperty("text").GetString()));
        var times = (1_000_000 / text.Length) + 1;
        string[] part = [.. JiebaSegmenter.Cut($"{text}\n")];
        Assert.Equal(
            Enumerable.Repeat(part, times).SelectMany(words => words),
            JiebaSegmenter.Cut(string.Concat(Enumerable.Repeat($"{text}\n", times)))
        );
    }

    private static JsonDocument Json(string path) => JsonDocument.Parse(File.ReadAllText(path));

    private static void AssertCuts(IEnumerable<JsonElement> cases, string text, string words, int atLeast)
    {
        var count = 0;
        foreach (var row in cases)
        {
            count++;
            Assert.Equal(
                row.GetProperty(words).EnumerateArray().Select(word => word.GetString()!),
                JiebaSegmenter.Cut(row.GetProperty(text).GetString()!)
            );
        }

        Assert.True(count >= atLeast, $"Only {count} cases.");
    }
}
