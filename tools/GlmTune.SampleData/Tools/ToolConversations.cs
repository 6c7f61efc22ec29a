namespace GlmTune.SampleData.Tools;

/// <summary>The rows of data/tools: calls in both styles, results, and turns that need no tool.</summary>
internal sealed record ToolConversations(IReadOnlyList<Conversation> Train, IReadOnlyList<Conversation> Dev)
{
    private const int TrainRows = 300;
    private const int DevRows = 30;

    private static readonly (string Asked, string Said)[] WithoutTool =
    [
        ("你好", "你好！有什么可以帮你的吗？"),
        ("你是谁？", "我是 GLM-Nano，一个很小的语言模型。"),
        ("今天真高兴", "太好了！愿你每天都开心。"),
    ];

    private static readonly (string Asked, string Said)[] Thanks =
    [
        ("谢谢", "不客气！"),
        ("好的，谢谢你", "不客气，很高兴能帮到你。"),
        ("再见", "再见！欢迎下次再来。"),
    ];

    /// <summary>Writes all rows; no row occurs twice, in both files.</summary>
    public static ToolConversations Write(ulong seed)
    {
        var random = new SeededRandom(seed);
        var rows = new List<Conversation>();
        var seen = new HashSet<string>();
        while (rows.Count < TrainRows + DevRows)
        {
            var row = Draw(random, named: rows.Count % 2 == 0);
            if (seen.Add(row.ToJson()))
            {
                rows.Add(row);
            }
        }

        return new(rows[..TrainRows], rows[TrainRows..]);
    }

    // named: the tool's name stands in the turn's metadata (GLM-4's own style); otherwise in the content.
    private static Conversation Draw(SeededRandom random, bool named)
    {
        var tools = random.Sample(ToolCatalogue.Tools, random.Between(1, 3));
        var turns = new List<Message>();
        if (random.Percent(15))
        {
            AddExchange(turns, random.Pick(WithoutTool));
        }

        for (var i = random.Between(1, 2); i > 0; i--)
        {
            var tool = random.Pick(tools);
            var use = tool.Draw(random);
            turns.Add(new("user", use.Question));
            turns.Add(
                named ? new("assistant", use.ArgumentsText, tool.Name) : new("assistant", use.CallText(tool.Name))
            );
            turns.Add(new("observation", use.ResultText));
            turns.Add(new("assistant", use.Answer));
        }

        if (random.Percent(25))
        {
            AddExchange(turns, random.Pick(Thanks));
        }

        return new(turns, [.. tools.Select(tool => tool.Definition)]);
    }

    private static void AddExchange(List<Message> turns, (string Asked, string Said) exchange)
    {
        turns.Add(new("user", exchange.Asked));
        turns.Add(new("assistant", exchange.Said));
    }
}
