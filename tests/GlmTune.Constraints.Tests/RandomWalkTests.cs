using System.Text;
using System.Text.Json;
using CsCheck;
using Json.Schema;

namespace GlmTune.Constraints.Tests;

/// <summary>Walks at random through what a grammar allows, byte by byte.</summary>
public class RandomWalkTests
{
    private const int MaxBytes = 4000;
    private static readonly EvaluationOptions Strictly = new() { RequireFormatValidation = true };

    // A walk is never stuck, and what it wrote is JSON that an independent validator finds right.
    [Fact]
    public void Whatever_bytes_are_chosen_the_answer_is_valid()
    {
        var whole = 0;
        Gen.Select(Schemas(3), Gen.ULong)
            .Sample(
                (schema, seed) =>
                {
                    using var parsed = JsonDocument.Parse(schema);
                    var grammar = new ByteGrammar();
                    grammar.Start = new JsonSchemaGrammar(new JsonGrammar(grammar), parsed.RootElement).Value(
                        ByteGrammar.End
                    );
                    var validator = JsonSchema.FromText(schema);
                    var automaton = new GrammarAutomaton(grammar);
                    for (var walk = 0UL; walk < 3; walk++)
                    {
                        if (Walk(automaton, new Random(unchecked((int)(seed + walk)))) is { } text)
                        {
                            whole++;
                            using var value = JsonDocument.Parse(text);
                            Assert.True(validator.Evaluate(value.RootElement, Strictly).IsValid, $"{schema}\n{text}");
                        }
                    }
                },
                iter: 120,
                threads: 1,
                seed: "0000KOIPe033"
            );
        Assert.InRange(whole, 330, 360);
    }

    // null: longer than the walk may be.
    private static string? Walk(GrammarAutomaton automaton, Random random)
    {
        var (state, text) = (automaton.Start, new List<byte>());
        while (text.Count < MaxBytes)
        {
            var ways = Enumerable
                .Range(0, 256)
                .Select(value => (Value: (byte)value, Next: automaton.Step(state, (byte)value)))
                .Where(way => way.Next is not null)
                .ToList();
            Assert.True(ways.Count > 0 || state.Accepts, $"nothing may follow {Encoding.UTF8.GetString([.. text])}");
            if (state.Accepts && (ways.Count == 0 || random.Next(2) == 0))
            {
                return Encoding.UTF8.GetString([.. text]);
            }

            // What closes is likelier, white space less, so that most walks end.
            var closing = ways.Where(way => way.Value is (byte)'"' or (byte)']' or (byte)'}').ToList();
            var dense = ways.Where(way => way.Value is not ((byte)' ' or (byte)'\n' or (byte)'\t')).ToList();
            var from =
                closing.Count > 0 && random.Next(3) == 0 ? closing
                : dense.Count > 0 && random.Next(10) > 0 ? dense
                : ways;
            var (value, next) = from[random.Next(from.Count)];
            text.Add(value);
            state = next!;
        }

        return null;
    }

    private static Gen<string> Schemas(int depth)
    {
        var leaf = Gen.OneOf(
            Gen.Select(
                Gen.Int[0, 3],
                Gen.Int[0, 5],
                Gen.OneOf((string[])["^[a-f]+$", "^(ab|c)*d?$", "[0-9]$", "^(?!a)[a-d]*$"]),
                (least, more, pattern) =>
                    $$"""{"type":"string","minLength":{{least}},"maxLength":{{least + more + 2}},"pattern":{{JsonSerializer.Serialize(pattern)}}}"""
            ),
            Gen.Select(
                Gen.Int[-300, 300],
                Gen.Int[0, 4000],
                Gen.Bool,
                (least, more, exclusive) =>
                    $$"""{"type":"number","{{(exclusive ? "exclusiveMinimum" : "minimum")}}":{{least / 100m}},"maximum":{{(least + more + 1) / 100m}}}"""
            ),
            Gen.Select(
                Gen.Int[-200, 200],
                Gen.Int[7, 3000],
                Gen.Int[1, 7],
                (least, more, multiple) =>
                    $$"""{"type":"integer","minimum":{{least}},"maximum":{{least + more}},"multipleOf":{{multiple}}}"""
            ),
            Gen.Select(
                Gen.OneOf((string[])["0.01", "0.25", "5", "1.5"]),
                Gen.Int[-50, 0],
                (multiple, least) =>
                    $$"""{"type":"number","minimum":{{least}},"maximum":50,"multipleOf":{{multiple}}}"""
            ),
            Gen.OneOf(
                (string[])
                    [
                        """{"type":["boolean","null"]}""",
                        """{"enum":["one","two",3,null]}""",
                        """{"type":"array","items":{"enum":["a","b","c",4]},"uniqueItems":true,"minItems":2}""",
                        """{"type":"string","format":"date"}""",
                        """{"type":"string","format":"date-time","maxLength":30}""",
                        """{"type":"string","format":"uuid"}""",
                        """{"type":"string","format":"ipv4"}""",
                        """{"type":"string","format":"ipv6"}""",
                        """{"type":"string","format":"email","maxLength":12}""",
                    ]
            )
        );
        if (depth == 0)
        {
            return leaf;
        }

        var inner = Schemas(depth - 1);
        return Gen.Frequency(
            (1, (IGen<string>)leaf),
            (
                1,
                Gen.Select(
                    inner,
                    Gen.Int[0, 2],
                    Gen.Int[0, 2],
                    (items, least, more) =>
                        $$"""{"type":"array","items":{{items}},"minItems":{{least}},"maxItems":{{least + more}}}"""
                )
            ),
            (
                1,
                Gen.Select(
                    inner,
                    inner,
                    inner,
                    (first, second, rest) =>
                        $$"""{"type":"array","prefixItems":[{{first}},{{second}}],"items":{{rest}},"maxItems":4}"""
                )
            ),
            (
                1,
                Gen.Select(
                    inner,
                    inner,
                    (first, second) =>
                        $$"""{"allOf":[{"properties":{"a":{{first}}},"required":["a"]},{"type":"object","properties":{"b":{{second}}},"minProperties":1}]}"""
                )
            ),
            (
                1,
                Gen.Select(
                    inner,
                    inner,
                    (first, second) =>
                        $$"""
                            {"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"x":{{first}}},"required":["kind"]},{"type":"object","properties":{"kind":{"enum":["b","c"]},"x":{{second}}},"required":["kind","x"]},{"type":"null"}]}
                            """
                )
            ),
            (
                1,
                Gen.Select(
                    inner,
                    inner,
                    (known, others) =>
                        $$"""
                            {"type":"object","properties":{"a":{{known}}},"patternProperties":{"^x":{{others}}},"additionalProperties":{"type":"boolean"},"minProperties":1,"maxProperties":3}
                            """
                )
            ),
            (
                1,
                Gen.Select(
                    inner,
                    values =>
                        $$"""{"type":"object","propertyNames":{"enum":["p","q"]},"additionalProperties":{{values}},"minProperties":1}"""
                )
            ),
            (
                2,
                Gen.Select(
                    inner.Array[1, 4],
                    Gen.Int[0, 15],
                    (members, required) =>
                        $$"""
                            {"type":"object","properties":{ {{string.Join(
                                ',',
                                members.Select((member, i) => $"\"p{i}\":{member}")
                            )}} },
                             "required":[{{string.Join(
                                ',',
                                members.Select((_, i) => i).Where(i => (required >> i & 1) == 1).Select(i =>
                                    $"\"p{i}\""
                                )
                            )}}],"additionalProperties":false}
                            """
                )
            )
        );
    }
}
