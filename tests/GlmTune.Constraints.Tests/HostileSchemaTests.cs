using System.Text.Json;
using CsCheck;

namespace GlmTune.Constraints.Tests;

/// <summary>Schemas that mean no good: each is taken or refused, with the exception that says why, and never costs
/// much.</summary>
public class HostileSchemaTests
{
    private static readonly string[] Words =
    [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "unevaluatedProperties",
        "items",
        "prefixItems",
        "additionalItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "not",
        "discriminator",
        "propertyName",
        "a",
        "b",
    ];

    private static readonly string[] Values =
    [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "2",
        "-3",
        "0.5",
        "1e400",
        "1e-400",
        "-1E+5",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "\"b\"",
        "\"object\"",
        "\"array\"",
        "\"string\"",
        "\"integer\"",
        "\"number\"",
        "\"null\"",
        "\"#\"",
        "\"#/$defs/a\"",
        "\"#/properties/a\"",
        "\"#/%\"",
        "\"^a$\"",
        "\"(\"",
        "\"^(?!a)b\"",
        "\"(a|b)*c{1,3}\"",
        "\"\\\\p{L}\"",
        "\"[^\\\\d]\"",
        "\"$^\"",
        "\"\\\\u{1F600}\"",
        "\"date\"",
        "\"email\"",
        "\"\\ud800\"",
        "\"你好\"",
        "[]",
        "{}",
        "[\"a\"]",
        "[\"a\",\"a\"]",
        "[1,1.0,\"1\"]",
        "[\"object\",\"string\"]",
    ];

    [Fact]
    public void Whatever_a_schema_holds_it_is_taken_or_refused() =>
        Junk(5)
            .Sample(
                schema =>
                {
                    try
                    {
                        var grammar = Grammar(schema);
                        Assert.False(grammar.Takes("\n{"));
                    }
                    catch (Exception e) when (e is ArgumentException or ConstraintException)
                    {
                        Assert.NotEmpty(e.Message);
                    }
                },
                iter: 1500,
                threads: 1,
                seed: "0000KOIPe033"
            );

    public static TheoryData<string, string> Costly =>
        new()
        {
            {
                "many patterns of many states",
                Object(800, i => $$"""{"type":"string","pattern":"^.*[a-m].{0,{{900 + i}}}$"}""")
            },
            {
                "lengths that never come to the same",
                Object(800, i => $$"""{"type":"string","pattern":"^(aa)*$","maxLength":{{100_000 + i}}}""")
            },
            {
                "large lists that meet",
                $$"""{"allOf":[{"enum":[{{Rows(10_000, i => $"{i}")}}]},{"enum":[{{Rows(10_000, i => $"{i + 5}")}}]}]}"""
            },
            {
                "listed values that all are compared",
                $$"""{"oneOf":[{{Rows(20, i => $$"""{"enum":[{{Rows(550, j => $"{j + (i * 600)}")}}]}""")}}]}"""
            },
            {
                "a long name before many, time and again",
                $$"""
                    {"properties":{"{{new string('n', 20_000)}}":{"properties":{ {{Rows(
                        2000,
                        i => $"\"a{i}\":true"
                    )}} },
                     "anyOf":[{{Rows(16, i => $$"""{"type":"string","minLength":{{i}}}""")}}],"allOf":[{"anyOf":[{{Rows(
                        16,
                        i => $$"""{"type":"string","maxLength":{{i + 20}}}"""
                    )}}]}]} } }
                    """
            },
            {
                "branches that all are compared",
                $$"""{"oneOf":[{{Rows(900, i => $$"""{"required":["k"],"properties":{"k":{"const":{{i}} } } }""")}}]}"""
            },
            {
                "unions within unions",
                $$"""{"$ref":"#/$defs/a0","$defs":{ {{Rows(12, i => $$"""
            "a{{i}}":{"anyOf":[{{Rows(40, j => $$"""{"allOf":[{"title":"{{j}}"},{"$ref":"#/$defs/a{{i + 1}}"}]}""")}}]}
            """)}},"a12":{"type":"null"} } }"""
            },
            {
                "listed values by way of unions",
                $$"""{"type":"array","uniqueItems":true,"items":{"$ref":"#/$defs/a0"},"$defs":{ {{Rows(12, i => $$"""
            "a{{i}}":{"anyOf":[{{Rows(40, j => $$"""{"title":"{{j}}","allOf":[{"$ref":"#/$defs/a{{i + 1}}"}]}""")}}]}
            """)}},"a12":{"type":"null"} } }"""
            },
            {
                "a chain of references",
                $$"""{"$ref":"#/$defs/a0","$defs":{ {{Rows(1800, i => $$"""  "a{{i}}":{"allOf":[{"$ref":"#/$defs/a{{i + 1}}"}]}""")}},"a1800":{} } }"""
            },
            {
                "patterns of names",
                $$"""{"patternProperties":{ {{Rows(1000, i => $"\"a{i}\":true")}} },"required":[{{Rows(1000, i => $"\"a{i}\"")}}]}"""
            },
            {
                "counted members",
                $$"""{"minProperties":300,"maxProperties":400,"properties":{ {{Rows(1000, i => $"\"a{i}\":true")}} } }"""
            },
        };

    [Theory]
    [MemberData(nameof(Costly))]
    public void What_would_cost_much_is_refused(string name, string schema)
    {
        Assert.NotEmpty(name);
        Assert.IsType<ArgumentException>(Record.Exception(() => Grammar(schema)));
    }

    [Fact]
    public void Grammars_that_share_a_budget_take_no_more_together_than_it_has()
    {
        CallableTool tool = new(
            "f",
            JsonElement.Parse(Object(100, _ => """{"type":"string","pattern":"^[a-z]{1,20}$"}"""))
        );
        var (budget, count) = (new GrammarBudget(), 0);
        var error = Assert.Throws<ArgumentException>(() =>
        {
            for (; count < 10_000; count++)
            {
                AnswerGrammar.Of(null, [tool], budget);
            }
        });
        Assert.Contains("too large", error.Message, StringComparison.Ordinal);
        Assert.InRange(count, 2, 9_999);
        Assert.Throws<ArgumentException>(() => AnswerGrammar.Of(null, [tool], budget));
        AnswerGrammar.Of(null, [tool]);
        Assert.Contains(
            "not a single line",
            Assert.Throws<ArgumentException>(() => AnswerGrammar.Of(null, [tool with { Name = "a\nb" }])).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Of_a_keyword_or_property_that_is_there_twice_the_last_one_counts()
    {
        var grammar = Grammar(
            """{"type":"string","type":"object","properties":{"a":{"type":"null"},"b":{},"a":{"type":"boolean"}},"required":["a"]}"""
        );
        Assert.True(grammar.Takes("\n{\"a\":true}"));
        Assert.False(grammar.Takes("\n{\"a\":null}"));
    }

    [Fact]
    public void Names_and_values_are_written_with_the_escapes_that_json_needs_and_no_others()
    {
        var grammar = Grammar(
            """{"properties":{"a\"\\\n\u0001/é😀":{"const":{"\t":"\u2028\u007f</script>","x":[1e400,-0],"x":[1E400,-0.0]}}},"required":["a\"\\\n\u0001/é😀"]}"""
        );
        Assert.True(
            grammar.Takes("\n{\"a\\\"\\\\\\n\\u0001/é😀\":{\"\\t\":\"\u2028\u007f</script>\",\"x\":[1E400,-0.0]}}")
        );
    }

    private static string Object(int count, Func<int, string> schema) =>
        $$"""{"properties":{ {{Rows(count, i => $"\"p{i}\":{schema(i)}")}} } }""";

    private static string Rows(int count, Func<int, string> row) =>
        string.Join(',', Enumerable.Range(0, count).Select(row));

    private static AnswerGrammar Grammar(string schema) =>
        AnswerGrammar.Of(new AnswerContent(JsonElement.Parse(schema)), []);

    private static Gen<string> Junk(int depth)
    {
        var value = Gen.OneOf(Values);
        if (depth == 0)
        {
            return value;
        }

        var inner = Junk(depth - 1);
        var members = Gen.Select(Gen.OneOf(Words), inner, (word, held) => $"\"{word}\":{held}")
            .Array[0, 5]
            .Select(all => $"{{{string.Join(',', all)}}}");
        return Gen.Frequency(
            (depth == 5 ? 0 : 2, (IGen<string>)value),
            (5, members),
            (1, inner.Array[0, 3].Select(all => $"[{string.Join(',', all)}]"))
        );
    }
}
