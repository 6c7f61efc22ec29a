using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class ToolResultOrderTests
{
    // u: user; c: a call with an id; t: text of the assistant; r: a result with an id. '-' is no id.
    [Theory]
    [InlineData("u cA cB rA rB", "u cA cB rA rB", "")]
    [InlineData("u cA cB rB rA", "u cA cB rA rB", "")]
    [InlineData("u cA cB cC rC rA rB u", "u cA cB cC rA rB rC u", "")]
    [InlineData("u cA t cB rB rA", "u cA t cB rA rB", "")]
    // Results that name nothing come as they came, each to the first call that no other names.
    [InlineData("u cA cB r- r-", "u cA cB r- r-", "")]
    [InlineData("u c- c- r- r-", "u c- c- r- r-", "")]
    [InlineData("u cA cB cC r- rA r-", "u cA cB cC rA r- r-", "")]
    [InlineData("u cA cB rB r-", "u cA cB r- rB", "")]
    // One round is no other's, and ids may come again in another round.
    [InlineData("u cA rA cB cA rA rB", "u cA rA cB cA rB rA", "")]
    [InlineData("u cA rA u cB rB rA", "u cA rA u cB rB rA", "")]
    // Calls of one id: their results in the calls' order, and those of one call in their own.
    [InlineData("u cA cA cB rB rA rA", "u cA cA cB rA rA rB", "")]
    [InlineData("u cA cB rB rA rB", "u cA cB rA rB rB", "")]
    // Ids that no call before them has.
    [InlineData("u cA cB rZ rA", "u cA cB rA rZ", "3")]
    [InlineData("u rA cA rA", "u rA cA rA", "1")]
    [InlineData("u c- rA", "u c- rA", "2")]
    [InlineData("rX rY", "rX rY", "0 1")]
    public void Results_follow_the_calls_that_their_ids_name(string messages, string expected, string unknown)
    {
        var found = new List<int>();
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
        Assert.Equal(expected, string.Join(' ', sorted));
        Assert.Equal(unknown, string.Join(' ', found));

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
