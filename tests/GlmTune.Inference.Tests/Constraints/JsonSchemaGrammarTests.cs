using System.Text;
using System.Text.Json;
using CsCheck;
using GlmTune.Data.Tokenization;
using NJsonSchema;

namespace GlmTune.Inference.Tests.Constraints;

public class JsonSchemaGrammarTests
{
    [Theory]
    [InlineData("""{"type":"object"}""", """{}|{"a": [1, -2.5e3, "x\n\u00e9é😀", null, true, {"b": {}}]}|{ "a":1}""", """[]|{"a"}|{"a":01}|{"a":"\ud800"}|{"a":1,}|{"a": "	"}""")]
    [InlineData("""{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"]}""", """{"a": 1}|{"a":-12,"b":""}|{"a": 1, "b": "x"}""", """{}|{"b": "x"}|{"b": "", "a": 1}|{"a": 1, "c": 2}|{"a": 1.5}""")]
    [InlineData("""{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"boolean"}}""", """{}|{"a": null}|{"b": true}|{"a": null, "ab": false, "": true}""", """{"a": true}|{"b": 1}|{"b": true, "a": null}""")]
    [InlineData("""{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2}""", """[true]|[true, false]|[ true,false ]""", """[]|[true,true,true]|[1]|[true,]""")]
    [InlineData("""{"type":"array","maxItems":0}""", """[]""", """[1]""")]
    [InlineData("""{"type":"array"}""", """[]|[1, "a", []]""", """{}""")]
    [InlineData("""{"enum":["a\"b","é",1,null,{"x":[1]}]}""", """ "a\"b"|"é"|1|null|{"x":[1]}""", """ "a"|2|"\u00e9" """)]
    [InlineData("""{"enum":["a",1,true],"type":["string","boolean"]}""", """ "a"|true""", """1""")]
    [InlineData("""{"const":"only"}""", """ "only" """, """ "other"|only""")]
    [InlineData("""{"type":"string","minLength":2,"maxLength":3}""", """ "ab"|"abc"|"é你"|"\ud83d\ude00\n"|"😀😀😀" """, """ "a"|"abcd"|"" """)]
    [InlineData("""{"type":"integer","minimum":-12,"maximum":105}""", """-12|-9|-1|0|7|99|100|105""", """-13|106|-0|00|1000|1.0|""")]
    [InlineData("""{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":1000}""", """1|10|999""", """0|1000|-1""")]
    [InlineData("""{"type":"integer","minimum":998.5}""", """999|1000|123456789012345678""", """998|-1000""")]
    [InlineData("""{"type":"number"}""", """0|-0|1.25|10e5|-3.5E-7""", """.5|1.|+1|01|1e|NaN""")]
    [InlineData("""{"type":["integer","number"]}""", """5|0.5""", """true""")]
    [InlineData("""{"type":["integer","null"]}""", """5|null""", """true""")]
    [InlineData("""{"anyOf":[{"type":"integer"},{"type":"object","properties":{"n":{"$ref":"#"}},"required":["n"]}]}""", """1|{"n": {"n": {"n": 5}}}""", """{}|{"n": {}}""")]
    [InlineData("""{"$ref":"#/$defs/list","$defs":{"list":{"type":"array","items":{"$ref":"#/$defs/list"}}}}""", """[]|[[], [[]]]""", """[1]|{}""")]
    [InlineData("""{"type":"string","pattern":"^[A-Z]{2}-\\d+(x|yz)?$"}""", """ "AB-1"|"AB-123yz" """, """ "A-1"|"AB-"|"AB-1y"|"xAB-1" """)]
    [InlineData("""{"type":"string","pattern":"a[^b]c"}""", """ "a.c"|"xxa\"cyy" """, """ "abc"|"ac" """)]
    [InlineData("""{"type":"string","format":"date"}""", """ "2024-02-29" """, """ "2024-13-01"|"24-01-01" """)]
    [InlineData("""{"type":"string","format":"date-time"}""", """ "2024-02-29T12:00:59Z"|"2024-02-29T12:00:59.123+08:00" """, """ "2024-02-29" """)]
    [InlineData("""{"description":"anything","title":"t"}""", """1|"a"|[{}]""", """x""")]
    [InlineData("""{"type":"string","format":"unheard-of"}""", """ "x" """, """1""")]
    [InlineData("""{"allOf":[{"type":"boolean"}],"default":true}""", """true""", """1""")]
    public void A_schema_takes_its_values_and_no_others(string schema, string values, string others)
    {
        var grammar = Grammar(schema);
        Assert.All(values.Split('|'), value => Assert.True(grammar.Takes($"\n{value.Trim(' ')}"), value));
        Assert.All(others.Split('|'), value => Assert.False(grammar.Takes($"\n{value.Trim(' ')}"), value));
    }

    [Theory]
    [InlineData("""{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}""", "schema #/properties/a: 'uniqueItems' is not supported here")]
    [InlineData("""{"oneOf":[{"type":"null"}]}""", "schema #: 'oneOf' is not supported here")]
    [InlineData("""{"type":"number","minimum":1}""", "schema #: 'minimum' is not supported here")]
    [InlineData("""{"type":["integer","number"],"minimum":1}""", "schema #: 'minimum' is not supported here")]
    [InlineData("""{"type":"strin"}""", "schema #: type 'strin' is none of")]
    [InlineData("""{"$ref":"#"}""", "refers to itself")]
    [InlineData("""{"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]}}}""", "refers to itself")]
    [InlineData("""{"$ref":"#/$defs/none"}""", "leads nowhere")]
    [InlineData("""{"$ref":"https://example.org/x"}""", "not within the schema")]
    [InlineData("""{"type":"string","minLength":3,"maxLength":2}""", "minLength is above maxLength")]
    [InlineData("""{"type":"string","pattern":"(?=x)"}""", "look-around")]
    [InlineData("""{"type":"string","pattern":"(x"}""", "not closed")]
    [InlineData("""{"type":"integer","minimum":3,"maximum":2}""", "minimum is above maximum")]
    [InlineData("""{"properties":{"a":false}}""", "schema #/properties/a: false allows no value")]
    [InlineData("""{"additionalProperties":false,"required":["a"]}""", "'a' is required")]
    [InlineData("""{"enum":[]}""", "enum must be a list")]
    [InlineData("""{"const":"\ud800"}""", "half of a surrogate pair")]
    [InlineData("""{"properties":{"\udc00":true}}""", "half of a surrogate pair")]
    public void What_cannot_be_kept_to_is_named(string schema, string message) =>
        Assert.Contains(message, Assert.Throws<ArgumentException>(() => Grammar(schema)).Message);

    [Fact]
    public void A_call_is_a_name_and_its_arguments_and_a_plain_answer_begins_with_a_line_break()
    {
        using var parameters = JsonDocument.Parse("""{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}""");
        var grammar = AnswerGrammar.Of(new AnswerContent(null, IsText: true), [new CallableTool("add", parameters.RootElement), new CallableTool("python", null), new CallableTool("cogview", parameters.RootElement)]);
        Assert.All(["\nany text\nadd", "add\n{\"x\": 1}", "python\nprint(1)\n", "cogview\n{\"x\": 1}", "\n"], text => Assert.True(grammar.Takes(text), text));
        Assert.All(["add", "add\n{}", "any", "other\n{}", "python", "cogview\na cat"], text => Assert.False(grammar.Takes(text), text));
    }

    [Fact]
    public void A_pattern_never_puts_control_characters_into_a_string_as_they_are()
    {
        var grammar = Grammar("""{"type":"string","pattern":"^[\u0001-b]{2}$"}""");
        Assert.All(["ab", "\\t\\n"], text => Assert.True(grammar.Takes($"\n\"{text}\""), text));
        Assert.All(["\u0001a", "a\u001f", "\ta"], text => Assert.False(grammar.Takes($"\n\"{text}\""), text));
        Assert.Contains("nothing matches", Assert.Throws<ArgumentException>(() => Grammar("""{"type":"string","pattern":"\u0001"}""")).Message);
    }

    [Fact]
    public void Schemas_that_would_exhaust_the_stack_are_refused()
    {
        var chain = string.Concat(Enumerable.Range(0, 2000).Select(i => $"\"a{i}\":{{\"items\":{{\"$ref\":\"#/$defs/a{i + 1}\"}}}},"));
        Assert.Contains("nested deeper", Assert.Throws<ArgumentException>(() => Grammar($$"""{"$ref":"#/$defs/a0","$defs":{ {{chain}}"a2000":{} } }""")).Message);
        Assert.Contains("at most 200 characters", Assert.Throws<ArgumentException>(() => Grammar($$"""{"properties":{"{{new string('x', 60_000)}}":{} },"additionalProperties":true}""")).Message);
    }

    [Fact]
    public void An_ambiguous_schema_is_given_up_before_it_costs_much()
    {
        // Ten ways to read each bracket: ten times as many after each.
        var ways = string.Join(',', Enumerable.Range(0, 10).Select(i => $$"""{"type":"array","title":"{{i}}","items":{"$ref":"#"} }"""));
        var grammar = Grammar($$"""{"anyOf":[{{ways}}]}""");
        Assert.Throws<ConstraintException>(() => grammar.Takes($"\n{new string('[', 50)}"));
    }

    // What a walk at random through the masks writes, token by token, is JSON that an independent validator finds right.
    [Fact]
    public void Whatever_tokens_are_chosen_the_answer_is_valid()
    {
        var tokenizer = TokenizerFile.Read(Path.Combine(GoldenData.Path("../../models/glm-nano")));
        int[] stops = [tokenizer.Special.User];
        var whole = 0;
        Gen.Select(Schemas(3), Gen.ULong).Sample(
            (schema, seed) =>
            {
                var random = new Random(unchecked((int)seed));
                var mask = Grammar(schema).NewMask(tokenizer, stops);
                var (answer, logits) = (new List<int>(), new float[tokenizer.Count]);
                while (answer.Count < 600)
                {
                    // Quotes and brackets are likelier, so that most walks end.
                    for (var id = 0; id < logits.Length; id++)
                    {
                        logits[id] = random.NextSingle() + (tokenizer.BytesOf(id).IndexOfAny("\"]}"u8) >= 0 ? 0.5f : 0) + (id == stops[0] ? 1 : 0);
                    }

                    mask(answer.ToArray(), logits);
                    var best = Array.IndexOf(logits, logits.Max());
                    Assert.True(logits[best] > float.NegativeInfinity, "no token is allowed");
                    if (best == stops[0])
                    {
                        break;
                    }

                    answer.Add(best);
                }

                var text = tokenizer.Decode(answer.ToArray());
                Assert.DoesNotContain('\uFFFD', answer.Count < 600 ? text : "");
                if (answer.Count < 600)
                {
                    whole++;
                    Assert.Empty(JsonSchema.FromJsonAsync(schema).GetAwaiter().GetResult().Validate(text));
                }
            },
            iter: 150,
            threads: 1,
            seed: "0000KOIPe033");
        Assert.InRange(whole, 100, 150);
    }

    private static Gen<string> Schemas(int depth)
    {
        var leaf = Gen.OneOf(
            Gen.Select(Gen.Int[0, 3], Gen.Int[0, 5], (least, more) => $$"""{"type":"string","minLength":{{least}},"maxLength":{{least + more}}}"""),
            Gen.Select(Gen.Int[-200, 200], Gen.Int[0, 3000], (least, more) => $$"""{"type":"integer","minimum":{{least}},"maximum":{{least + more}}}"""),
            Gen.OneOf((string[])["""{"type":"boolean"}""", """{"type":"null"}""", """{"type":"number"}""", """{"enum":["one","two",3]}""", """{"type":"string","pattern":"^[a-f]{2,4}(-\\d)?$"}"""]));
        return depth == 0 ? leaf : Gen.Frequency(
            (1, (IGen<string>)leaf),
            (2, Gen.Select(Schemas(depth - 1), Gen.Int[0, 2], Gen.Int[0, 2], (items, least, more) => $$"""{"type":"array","items":{{items}},"minItems":{{least}},"maxItems":{{least + more}}}""")),
            (3, Gen.Select(Schemas(depth - 1).Array[1, 4], Gen.Int[0, 15], Gen.Bool, (members, required, open) => $$"""
                {"type":"object","properties":{ {{string.Join(',', members.Select((member, i) => $"\"p{i}\":{member}"))}} },
                 "required":[{{string.Join(',', members.Select((_, i) => i).Where(i => (required >> i & 1) == 1).Select(i => $"\"p{i}\""))}}],
                 "additionalProperties":{{(open ? "{\"type\":\"integer\"}" : "false")}}}
                """)));
    }

    private static AnswerGrammar Grammar(string schema)
    {
        using var document = JsonDocument.Parse(schema);
        return AnswerGrammar.Of(new AnswerContent(document.RootElement.Clone()), []);
    }
}
