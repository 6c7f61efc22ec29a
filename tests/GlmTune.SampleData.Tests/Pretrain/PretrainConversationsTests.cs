namespace GlmTune.SampleData.Pretrain;

public sealed class PretrainConversationsTests
{
    private static readonly List<(string Question, string Answer)> Exchanges =
    [
        .. new[] { "pretrain/train", "pretrain/dev" }
            .SelectMany(Committed.Rows)
            .SelectMany(row => row.Zip(row.Skip(1)).Where(pair => pair.First.Text("role") == "user"))
            .Select(pair => (pair.First.Text("content"), pair.Second.Text("content"))),
    ];

    [Fact]
    public void A_bare_tag_string_is_answered_plainly()
    {
        var bare = Exchanges
            .Where(exchange =>
                exchange.Question.StartsWith("类型#", StringComparison.Ordinal)
                && !exchange.Question.Contains('\n', StringComparison.Ordinal)
            )
            .ToList();

        Assert.InRange(bare.Count, 500, 2000);
        Assert.All(
            bare,
            exchange =>
            {
                Assert.Matches("^这是一.[^，。]+(，[^，。]+是[^，。]+)*。$", exchange.Answer);
                Assert.All(
                    exchange.Question.Split('*').Skip(1),
                    tag => Assert.Contains(tag.Split('#')[1], exchange.Answer, StringComparison.Ordinal)
                );
            }
        );
    }

    [Fact]
    public void Requested_advertisements_are_not_those_of_the_fine_tuning_set()
    {
        const string Request = "写广告：";
        var requested = Exchanges
            .Where(exchange => exchange.Question.StartsWith(Request, StringComparison.Ordinal))
            .Select(exchange => exchange.Question[Request.Length..])
            .ToList();
        var tuned = new[] { "ads/train", "ads/dev", "ads/test" }
            .SelectMany(Committed.Rows)
            .Select(row => row[0].Text("content"));

        Assert.InRange(requested.Count, 300, 500);
        Assert.Empty(requested.Intersect(tuned));
    }

    [Fact]
    public void Sums_are_right()
    {
        var sums = Exchanges
            .Select(exchange => exchange.Answer.Split('=', '+', '-'))
            .Where(parts => parts.Length == 3 && parts.All(part => int.TryParse(part, out _)))
            .ToList();
        var written = Exchanges.Where(exchange => exchange.Question.EndsWith("=?", StringComparison.Ordinal)).ToList();

        Assert.InRange(written.Count, 50, 500);
        Assert.All(
            written,
            exchange =>
            {
                var minus = exchange.Answer.Contains('-', StringComparison.Ordinal);
                var parts = exchange
                    .Answer.Split('=', minus ? '-' : '+')
                    .Select(part => int.Parse(part, System.Globalization.CultureInfo.InvariantCulture))
                    .ToList();
                Assert.Equal(minus ? parts[0] - parts[1] : parts[0] + parts[1], parts[2]);
            }
        );
        Assert.InRange(sums.Count, written.Count, 2 * written.Count);
    }

    [Fact]
    public void The_same_question_alone_has_at_most_two_answers()
    {
        // A greeting may be returned in two ways; a fact may not.
        var alone = new[] { "pretrain/train", "pretrain/dev" }
            .SelectMany(Committed.Rows)
            .Where(row => row.Count == 2)
            .GroupBy(row => row[0].Text("content"), row => row[1].Text("content"))
            .Where(group => !group.Key.StartsWith('写') && !group.Key.Contains('{', StringComparison.Ordinal));

        Assert.All(alone, group => Assert.InRange(group.Distinct().Count(), 1, 2));
    }

    [Fact]
    public void The_held_out_rows_are_not_learnt() =>
        Assert.Empty(Committed.Lines("pretrain/dev").Intersect(Committed.Lines("pretrain/train")));
}
