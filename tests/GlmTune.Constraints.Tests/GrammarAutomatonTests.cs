using System.Text;
using System.Text.Json;
using GlmTune.Data.Tokenization;

namespace GlmTune.Constraints.Tests;

public class GrammarAutomatonTests
{
    // Answers that go on while others make it forget keep their own brackets.
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Answers_under_way_stay_apart_from_later_ones_when_states_are_forgotten(int between)
    {
        using var schema = JsonDocument.Parse(
            """{"anyOf":[{"type":"boolean"},{"type":"array","items":{"$ref":"#"}},{"type":"string","maxLength":20000}]}"""
        );
        var grammar = new ByteGrammar();
        grammar.Start = new JsonSchemaGrammar(new JsonGrammar(grammar), schema.RootElement).Value(ByteGrammar.End);
        var automaton = new GrammarAutomaton(grammar);
        var open = Enumerable
            .Range(0, 40)
            .Select(depth => Read(automaton, automaton.Start, $"{new string('[', depth)}t")!)
            .ToList();

        // A state for each character, until the first ones are forgotten.
        var (bracket, characters) = (
            automaton.Step(automaton.Start, (byte)'['),
            Read(automaton, automaton.Start, "\"")!
        );
        while (ReferenceEquals(automaton.Step(automaton.Start, (byte)'['), bracket))
        {
            characters = Read(automaton, characters, "x")!;
        }

        Assert.NotNull(Read(automaton, characters, new string('x', between)));
        open = [.. open.Select(state => Read(automaton, state, "r")!)];
        for (var depth = 0; depth < open.Count; depth++)
        {
            var text = $"{new string('[', depth)}true{new string(']', depth)}";
            Assert.True(Read(automaton, automaton.Start, text)?.Accepts, text);
            Assert.True(Read(automaton, open[depth], text[(depth + 2)..])?.Accepts, text);
            Assert.Null(Read(automaton, automaton.Start, $"{text}]"));
        }
    }

    // The pattern has a reading for each letter of the first half of the alphabet, and a state for each row of such
    // letters.
    [Theory]
    [InlineData(20_000, false)]
    [InlineData(1_000_000, true)]
    public void A_mask_that_takes_too_much_work_is_given_up(long mostWork, bool isMade)
    {
        using var schema = JsonDocument.Parse("""{"type":"string","pattern":"^.*[a-m].{0,900}$"}""");
        var grammar = new ByteGrammar();
        grammar.Start = new JsonSchemaGrammar(new JsonGrammar(grammar), schema.RootElement).Value(ByteGrammar.End);
        var automaton = new GrammarAutomaton(grammar) { MaxWork = mostWork };
        var state = Read(
            automaton,
            automaton.Start,
            $"\"{string.Concat(Enumerable.Repeat("a quick brown fox ", 10))}"
        )!;
        var words = TokenTrie.Of(TokenizerFile.Read(GoldenData.Path("../../models/glm-nano")));
        var error = Record.Exception(() => automaton.MaskOf(state, words));
        Assert.Equal(isMade, error is null);
        Assert.True(error is null or ConstraintException);
        Assert.NotNull(automaton.Step(state, (byte)'x'));
    }

    private static GrammarAutomaton.State? Read(GrammarAutomaton automaton, GrammarAutomaton.State state, string text)
    {
        GrammarAutomaton.State? at = state;
        foreach (var value in Encoding.UTF8.GetBytes(text))
        {
            at = at is null ? null : automaton.Step(at, value);
        }

        return at;
    }
}
