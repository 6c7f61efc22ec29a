using GlmTune.SampleData.Tools;

namespace GlmTune.SampleData.Pretrain;

/// <summary>Short tasks answered with JSON, so that the base model knows the marks that tool calls are made
/// of.</summary>
internal static class JsonTasks
{
    /// <summary>A request to be written as a call, and a tool's result to be told in words.</summary>
    public static IEnumerable<Conversation> Calls(SeededRandom random, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var tool = random.Pick(ToolCatalogue.Tools);
            var use = tool.Draw(random);
            yield return random.Percent(50)
                ? Conversation.Of($"调用 {tool.Name}：{use.Question}", use.CallText(tool.Name))
                : Conversation.Of($"{use.Question}\n{use.ResultText}", use.Answer);
        }
    }
}
