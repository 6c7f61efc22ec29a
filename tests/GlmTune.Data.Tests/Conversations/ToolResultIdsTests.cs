using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class ToolResultIdsTests
{
    [Theory]
    [InlineData("a b c", "c a b")]
    [InlineData("a b", "- -")]
    [InlineData("- -", "- -")]
    [InlineData("a b", "a")]
    public void Ids_that_name_each_call_once_or_not_at_all_are_sound(string calls, string results) =>
        Assert.Null(ToolResultIds.Check(Ids(calls), Ids(results)).Problem);

    [Theory]
    [InlineData("a b", "a x", 1, "is 'x'")]
    [InlineData("a b", "a a", 1, "a second result for the call 'a'")]
    [InlineData("a b", "a -", 1, "without 'tool_call_id'")]
    [InlineData("- -", "a b", 0, "no call before it has an id")]
    [InlineData("a a", "a", null, "two calls have the id 'a'")]
    [InlineData("a b", "b", null, "'a' has no result")]
    public void What_cannot_be_matched_is_a_problem(string calls, string results, int? bad, string text)
    {
        var found = ToolResultIds.Check(Ids(calls), Ids(results));
        Assert.Equal(bad, found.Result);
        Assert.Contains(text, found.Problem, StringComparison.Ordinal);
    }

    private static string?[] Ids(string ids) => [.. ids.Split(' ').Select(id => id == "-" ? null : id)];
}
