using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class ToolResultOrderTests
{
    // u: user; c: a call with an id; t: text of the assistant; r: a result with an id. '-' is no id.
    [Theory]
    [InlineData("u cA cB rA rB", "u cA cB rA rB")]
    [InlineData("u cA cB rB rA", "u cA cB rA rB")]
    [InlineData("u cA cB cC rC rA rB u", "u cA cB cC rA rB rC u")]
    [InlineData("u cA t cB rB rA", "u cA t cB rA rB")]
    // Only the first calls may have results: a conversation that goes on.
    [InlineData("u cA cB cC rB rA", "u cA cB cC rA rB")]
    // Without any id, results come as they came.
    [InlineData("u cA cB r- r-", "u cA cB r- r-")]
    [InlineData("u c- c- r- r-", "u c- c- r- r-")]
    [InlineData("u r- u", "u r- u")]
    // One round is no other's, and ids may come again in another round.
    [InlineData("u cA rA cB cA rA rB", "u cA rA cB cA rB rA")]
    public void Results_follow_the_calls_that_their_ids_name(string messages, string expected)
    {
        var (sorted, found) = Sort(messages);
        Assert.Equal(expected, sorted);
        Assert.Empty(found);
    }

    [Theory]
    [InlineData("u cA cB rZ rA", "3 tool_call_id is 'Z', but the calls before it have 'A', 'B'")]
    [InlineData("u rA cA rA", "1 tool_call_id is 'A', but no call before it has an id")]
    [InlineData("u c- rA", "2 tool_call_id is 'A', but no call before it has an id")]
    [InlineData("u cA rA u cB rB rA", "6 tool_call_id is 'A', but the calls before it have 'B'")]
    [InlineData("rX rY", "0 tool_call_id is 'X'|1 tool_call_id is 'Y'")]
    [InlineData("u cA cB rA r-", "4 tool_call_id is missing, but other results have one")]
    [InlineData("u cA cB rB rA rB", "5 tool_call_id is 'B', the id of a call that already has a result")]
    [InlineData("u cA cA rA rA", "2 tool_calls contain the id 'A' twice")]
    [InlineData("u cA cB rB", "2 tool_calls contain a call without a result ('A'), but a later call has one")]
    [InlineData("u c- cB rB", "2 tool_calls contain a call without a result (number 1, without an id)")]
    public void What_cannot_be_matched_is_named_and_stays_where_it_is(string messages, string problems)
    {
        var (sorted, found) = Sort(messages);
        Assert.Equal(messages, sorted);
        Assert.Equal(problems.Split('|').Length, found.Count);
        foreach (var (expected, problem) in problems.Split('|').Zip(found))
        {
            Assert.StartsWith(expected, $"{problem.Message} {problem.Field} {problem.Text}", StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Many_results_take_no_longer_than_reading_them()
    {
        var ids = Enumerable.Range(0, 100_000).Select(id => $"{id}").ToList();
        var (sorted, found) = Sort(
            string.Join(' ', ids.Select(id => $"c{id}").Concat(Enumerable.Reverse(ids).Select(id => $"r{id}")))
        );
        Assert.Empty(found);
        Assert.EndsWith("r99998 r99999", sorted, StringComparison.Ordinal);
    }

    private static (string Sorted, List<ToolResultProblem> Problems) Sort(string messages)
    {
        var found = new List<ToolResultProblem>();
        var sorted = ToolResultOrder.Sort(
            messages.Split(' '),
            message =>
                message[0] switch
                {
                    'c' => [Id(message)],
                    't' => [],
                    _ => null,
                },
            message => message[0] == 'r',
            Id,
            found.Add
        );
        return (string.Join(' ', sorted), found);

        static string? Id(string message) => message[1..] is "-" or "" ? null : message[1..];
    }

    [Theory]
    [InlineData(null, "{}")]
    [InlineData("", "{}")]
    [InlineData(" \n", "{}")]
    [InlineData("null", "{}")]
    [InlineData("{}", "{}")]
    [InlineData("{\"a\": 1} ", "{\"a\": 1} ")]
    [InlineData("nil", "nil")]
    public void No_arguments_are_an_empty_object(string? given, string expected) =>
        Assert.Equal(expected, ToolCall.ArgumentsOrNone(given));
}
