using System.Text;
using System.Text.Json;
using CsCheck;
using GlmTune.Data.Tokenization;
using Json.Schema;

namespace GlmTune.Constraints.Tests;

public class JsonSchemaGrammarTests
{
    [Theory]
    [InlineData(
        """{"type":"object"}""",
        """{}|{"a": [1, -2.5e3, "x\n\u00e9é😀", null, true, {"b": {}}]}|{ "a":1}""",
        """[]|{"a"}|{"a":01}|{"a":"\ud800"}|{"a":1,}|{"a": "	"}"""
    )]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"]}""",
        """{"a": 1}|{"a":-12,"b":""}|{"a": 1, "b": "x"}""",
        """{}|{"b": "x"}|{"b": "", "a": 1}|{"a": 1, "c": 2}|{"a": 1.5}"""
    )]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"boolean"}}""",
        """{}|{"a": null}|{"b": true}|{"a": null, "ab": false, "": true}""",
        """{"a": true}|{"b": 1}|{"b": true, "a": null}"""
    )]
    [InlineData(
        """{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2}""",
        """[true]|[true, false]|[ true,false ]""",
        """[]|[true,true,true]|[1]|[true,]"""
    )]
    [InlineData("""{"type":"array","maxItems":0}""", """[]""", """[1]""")]
    [InlineData("""{"type":"array"}""", """[]|[1, "a", []]""", """{}""")]
    [InlineData(
        """{"enum":["a\"b","é",1,null,{"x":[1]}]}""",
        """ "a\"b"|"é"|1|null|{"x":[1]}""",
        """ "a"|2|"\u00e9" """
    )]
    [InlineData("""{"enum":["a",1,true],"type":["string","boolean"]}""", """ "a"|true""", """1""")]
    [InlineData("""{"const":"only"}""", """ "only" """, """ "other"|only""")]
    [InlineData(
        """{"type":"string","minLength":2,"maxLength":3}""",
        """ "ab"|"abc"|"é你"|"\ud83d\ude00\n"|"😀😀😀" """,
        """ "a"|"abcd"|"" """
    )]
    [InlineData(
        """{"type":"integer","minimum":-12,"maximum":105}""",
        """-12|-9|-1|0|7|99|100|105""",
        """-13|106|-0|00|1000|1.0|"""
    )]
    [InlineData("""{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":1000}""", """1|10|999""", """0|1000|-1""")]
    [InlineData("""{"type":"integer","minimum":998.5}""", """999|1000|123456789012345678""", """998|-1000""")]
    [InlineData("""{"type":"number"}""", """0|-0|1.25|10e5|-3.5E-7""", """.5|1.|+1|01|1e|NaN""")]
    [InlineData("""{"type":["integer","number"]}""", """5|0.5""", """true""")]
    [InlineData("""{"type":["integer","null"]}""", """5|null""", """true""")]
    [InlineData(
        """{"anyOf":[{"type":"integer"},{"type":"object","properties":{"n":{"$ref":"#"}},"required":["n"]}]}""",
        """1|{"n": {"n": {"n": 5}}}""",
        """{}|{"n": {}}"""
    )]
    [InlineData(
        """{"$ref":"#/$defs/list","$defs":{"list":{"type":"array","items":{"$ref":"#/$defs/list"}}}}""",
        """[]|[[], [[]]]""",
        """[1]|{}"""
    )]
    [InlineData(
        """{"type":"string","pattern":"^[A-Z]{2}-\\d+(x|yz)?$"}""",
        """ "AB-1"|"AB-123yz" """,
        """ "A-1"|"AB-"|"AB-1y"|"xAB-1" """
    )]
    [InlineData("""{"type":"string","pattern":"a[^b]c"}""", """ "a.c"|"xxa\"cyy" """, """ "abc"|"ac" """)]
    [InlineData("""{"type":"string","format":"date"}""", """ "2024-02-29" """, """ "2024-13-01"|"24-01-01" """)]
    [InlineData(
        """{"type":"string","format":"date-time"}""",
        """ "2024-02-29T12:00:59Z"|"2024-02-29T12:00:59.123+08:00" """,
        """ "2024-02-29" """
    )]
    [InlineData(
        """{"type":"number","minimum":0,"maximum":1}""",
        """0|1|0.5|0.000|1.0|0.123456789012345""",
        """-0|-0.1|1.000001|2|1e0|00|0.|.5|0.1234567890123456"""
    )]
    [InlineData(
        """{"type":"number","exclusiveMinimum":-1.5,"exclusiveMaximum":20.25}""",
        """-1.49|-1|0|-0.75|20.249|19.99|3""",
        """-1.5|-2|20.25|20.250|20.3|21|100"""
    )]
    [InlineData(
        """{"type":"number","minimum":5,"exclusiveMinimum":true}""",
        """5.1|6|123456789012345678""",
        """5|5.0|4"""
    )]
    [InlineData("""{"type":"number","multipleOf":0.01}""", """0|0.1|-12.34|5|100.10""", """0.001|1.234|-0""")]
    [InlineData(
        """{"type":"number","multipleOf":0.25,"minimum":-1}""",
        """-1|-0.5|0.25|7.75""",
        """0.3|0.2|-1.25|0.255"""
    )]
    [InlineData("""{"type":"integer","multipleOf":1000}""", """0|1000|-25000|123000""", """1|100|1500|1000.0""")]
    [InlineData("""{"type":"integer","multipleOf":7,"minimum":10,"maximum":30}""", """14|21|28""", """7|15|35|0""")]
    [InlineData(
        """{"type":"integer","allOf":[{"multipleOf":4},{"multipleOf":6},{"minimum":1}]}""",
        """12|24|999999999996""",
        """4|6|8|0|18"""
    )]
    [InlineData("""{"type":"integer","multipleOf":0.5,"maximum":1e400}""", """1|2|-3""", """0.5""")]
    [InlineData("""{"minimum":3}""", """3|4.5""", """2|"a" """)]
    [InlineData(
        """{"oneOf":[{"type":"integer"},{"type":"string"},{"type":"null"}]}""",
        """1|"a"|null""",
        """1.5|true"""
    )]
    [InlineData(
        """{"oneOf":[{"type":"integer","maximum":-1},{"type":"integer","minimum":10}]}""",
        """-5|10""",
        """0|9"""
    )]
    [InlineData("""{"oneOf":[{"const":1},{"enum":[2,3]},{"type":"string"}]}""", """1|3|"x" """, """4""")]
    [InlineData(
        """{"type":"object","properties":{"v":{"type":"integer"}},"required":["v"],"oneOf":[{"properties":{"a":{"type":"null"}},"required":["a"]},{"properties":{"b":{"type":"null"}},"required":["b"]}]}""",
        """{"v":1,"a":null}|{"v":1,"b":null}""",
        """{"v":1}|{"v":1,"a":null,"b":null}|{"a":null}"""
    )]
    [InlineData(
        """{"anyOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{"type":"null"},"b":{"type":"null"}}}""",
        """{"a":null}|{"b":null}|{"a":null,"b":null}""",
        """{}|{"c":null}"""
    )]
    [InlineData(
        """{"type":"string","anyOf":[{"const":"a"},{"const":1},{"minLength":3}]}""",
        """ "a"|"abc" """,
        """1|"ab" """
    )]
    [InlineData(
        """{"allOf":[{"properties":{"a":{"type":"integer","minimum":1}},"required":["a"]},{"properties":{"a":{"maximum":5},"b":{"type":"null"}},"required":["b"]}]}""",
        """{"a":1,"b":null}|{"a":5,"b":null}""",
        """{"a":0,"b":null}|{"a":6,"b":null}|{"a":1}"""
    )]
    [InlineData(
        """{"allOf":[{"properties":{"a":{"type":"null"}},"additionalProperties":false},{"properties":{"b":{"type":"null"}}}]}""",
        """{}|{"a":null}""",
        """{"b":null}"""
    )]
    [InlineData(
        """{"$ref":"#/$defs/n","minimum":3,"$defs":{"n":{"type":"integer","maximum":5}}}""",
        """3|5""",
        """2|6"""
    )]
    [InlineData(
        """{"$ref":"#/$defs/t","$defs":{"t":{"allOf":[{"$ref":"#/$defs/n"},{"properties":{"c":{"type":"array","items":{"$ref":"#/$defs/t"}}},"required":["c"]}]},"n":{"properties":{"v":{"type":"integer"}},"required":["v"]}}}""",
        """{"v":1,"c":[]}|{"v":1,"c":[{"v":2,"c":[{"v":3,"c":[]}]}]}""",
        """{"v":1}|{"v":1,"c":[{"c":[]}]}"""
    )]
    [InlineData(
        """{"properties":{"a":false,"b":{"not":{}},"c":{"type":"null"}}}""",
        """{}|{"c":null}""",
        """{"a":1}|{"b":1}"""
    )]
    [InlineData(
        """{"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true}""",
        """[]|["b"]|["c","a","b"]|["a", "c"]""",
        """["a","a"]|["a","b","a"]|["d"]|[,"a"]"""
    )]
    [InlineData(
        """{"type":"array","items":{"type":"boolean"},"uniqueItems":true,"minItems":1,"maxItems":2}""",
        """[true]|[false, true]""",
        """[]|[true,true]"""
    )]
    [InlineData(
        """{"type":"array","items":{"anyOf":[{"type":"integer","minimum":1,"maximum":3},{"type":"null"}]},"uniqueItems":true,"minItems":3}""",
        """[1,2,3]|[null,3,1]|[3,2,1,null]""",
        """[1,2]|[1,2,2]|[4,1,2]|[null,null,1]"""
    )]
    [InlineData(
        """{"type":"array","items":{"type":"string"},"uniqueItems":true,"maxItems":1}""",
        """[]|["x"]""",
        """["x","y"]"""
    )]
    [InlineData(
        """{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]}""",
        """[1,"a"]|[ 1, "a" ]""",
        """[]|[1]|[1,"a",2]|["a",1]"""
    )]
    [InlineData(
        """{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"},"minItems":1,"maxItems":4}""",
        """[1]|[1,"a"]|[1,"a",null,null]""",
        """[]|[1,null]|[1,"a",null,null,null]"""
    )]
    [InlineData("""{"type":"array","items":[{"type":"integer"}],"additionalItems":false}""", """[1]""", """[]|[1,2]""")]
    [InlineData("""{"type":"array","items":false}""", """[]""", """[1]""")]
    [InlineData(
        """{"type":"object","patternProperties":{"^x-":{"type":"integer"}},"properties":{"x-a":{"maximum":5}}}""",
        """{}|{"x-a":5,"x-b":6}|{"x-":1}""",
        """{"x-a":6}|{"b":1}|{"x-b":"a"}"""
    )]
    [InlineData(
        """{"type":"object","patternProperties":{"^a":{"minimum":1},"z$":{"maximum":9}},"additionalProperties":{"type":"null"}}""",
        """{"a":100}|{"z":-1}|{"az":5}|{"b":null,"你好":null}""",
        """{"az":0}|{"az":10}|{"a":0}|{"b":1}"""
    )]
    [InlineData(
        """{"type":"object","propertyNames":{"pattern":"^[a-z]{2}$"},"additionalProperties":{"type":"integer"}}""",
        """{}|{"ab":1,"cd":2}""",
        """{"a":1}|{"abc":1}|{"AB":1}"""
    )]
    [InlineData(
        """{"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"integer"}}""",
        """{}|{"a":1}|{"b":2}|{"a":1,"b":2}""",
        """{"c":1}|{"a":1,"a":2}|{"a":null}"""
    )]
    [InlineData(
        """{"type":"object","propertyNames":{"minLength":2,"maxLength":3},"additionalProperties":{"type":"integer"}}""",
        """{"ab":1}|{"你好吗":1}""",
        """{"a":1}|{"abcd":1}"""
    )]
    [InlineData(
        """{"type":"object","additionalProperties":{"type":"integer"},"minProperties":2,"maxProperties":3}""",
        """{"a":1,"b":2}|{"a":1,"b":2,"c":3}""",
        """{}|{"a":1}|{"a":1,"b":2,"c":3,"d":4}"""
    )]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"minProperties":1,"maxProperties":2}""",
        """{"a":null}|{"c":null}|{"a":null,"c":null}""",
        """{}|{"a":null,"b":null,"c":null}"""
    )]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"required":["b"],"minProperties":2}""",
        """{"a":null,"b":null}""",
        """{"b":null}|{"a":null}"""
    )]
    [InlineData(
        """{"type":"object","unevaluatedProperties":false,"allOf":[{"properties":{"a":{"type":"null"}}}]}""",
        """{}|{"a":null}""",
        """{"b":null}"""
    )]
    [InlineData(
        """{"type":"object","properties":{"你":{"type":"null"}},"additionalProperties":{"type":"integer"}}""",
        """{"你":null,"你好":1,"好":2,"\"":3}""",
        """{"你":1}|{"\u4f60":1}"""
    )]
    [InlineData(
        """{"type":"string","pattern":"^[a-z]+$","minLength":2,"maxLength":3}""",
        """ "ab"|"abc" """,
        """ "a"|"abcd"|"AB" """
    )]
    [InlineData(
        """{"type":"string","pattern":"^(ab|c)*$","maxLength":3}""",
        """ ""|"ab"|"abc"|"ccc" """,
        """ "abab"|"a"|"cccc" """
    )]
    [InlineData("""{"type":"string","pattern":"[0-9]","minLength":5000}""", """ """, """ "5" """)]
    [InlineData(
        """{"allOf":[{"type":"string","pattern":"^a"},{"pattern":"b$"},{"pattern":"c"}]}""",
        """ "acb"|"axxcyyb" """,
        """ "ab"|"acbc"|"xacb" """
    )]
    [InlineData("""{"type":"string","pattern":"^$|^x+$"}""", """ ""|"xx" """, """ "y"|"xy" """)]
    [InlineData(
        """{"type":"string","pattern":"^(?!.*\\.\\.)(?=.*@)[a-z.@]+$"}""",
        """ "a.b@c"|"@" """,
        """ "a..b@c"|"abc" """
    )]
    [InlineData(
        """{"type":"string","pattern":"^[\\u4e00-\\u9fa5]{2,4}$"}""",
        """ "你好"|"你好你好" """,
        """ "你"|"ab"|"你好a" """
    )]
    [InlineData("""{"type":"string","pattern":"^\\p{Lu}\\p{Ll}*$"}""", """ "Émile"|"A" """, """ "emile"|"A1" """)]
    [InlineData("""{"type":"string","pattern":"^.{1,3}$"}""", """ "你好"|"a😀b" """, """ ""|"abcd"|"a\nb" """)]
    [InlineData("""{"type":"string","pattern":"^[^\\d]+$"}""", """ "你好"|"a\nb"|"\" \\" """, """ "a1"|"" """)]
    [InlineData(
        """{"type":"string","format":"date","pattern":"^20"}""",
        """ "2024-02-29" """,
        """ "2023-02-29"|"1999-01-01"|"2024-04-31"|"0000-01-01" """
    )]
    [InlineData(
        """{"type":"string","format":"uri","minLength":1,"maxLength":2083}""",
        """ "https://example.org/a?b=c#d"|"http://localhost:8080" """,
        """ "example.org"|"http://"|"http://a b" """
    )]
    [InlineData(
        """{"type":"string","format":"uuid"}""",
        """ "123e4567-e89b-12d3-a456-426614174000" """,
        """ "123e4567" """
    )]
    [InlineData(
        """{"type":"string","format":"ipv6"}""",
        """ "::"|"::1"|"fe80::1:2"|"1:2:3:4:5:6:7:8"|"1:2:3:4:5:6:7::" """,
        """ ":"|"1::2::3"|"1:2:3:4:5:6:7"|"12345::" """
    )]
    [InlineData(
        """{"type":"string","format":"duration"}""",
        """ "P1D"|"PT1H30M"|"P1Y2M3DT4H5M6S"|"P2W" """,
        """ "P"|"PT"|"1D" """
    )]
    [InlineData(
        """{"type":"string","format":"hostname","maxLength":30}""",
        """ "example.org"|"a" """,
        """ "-a"|"a."|"a_b" """
    )]
    [InlineData(
        """{"type":"string","format":"email","maxLength":20}""",
        """ "a.b+c@example.org" """,
        """ "a@b"|"@example.org"|"abcdefghijklm@example.org" """
    )]
    [InlineData("""{"enum":["a","bb","ccc",1,20],"minLength":2,"minimum":5}""", """ "bb"|"ccc"|20""", """ "a"|1""")]
    [InlineData("""{"enum":["😀",1e400,-0,1.50]}""", """ "😀"|1e400|-0|1.50""", """0|1.5""")]
    [InlineData("""{"description":"anything","title":"t"}""", """1|"a"|[{}]""", """x""")]
    [InlineData("""{"type":"string","format":"unheard-of"}""", """ "x" """, """1""")]
    [InlineData("""{"allOf":[{"type":"boolean"}],"default":true}""", """true""", """1""")]
    public void A_schema_takes_its_values_and_no_others(string schema, string values, string others)
    {
        var grammar = Grammar(schema);
        Assert.All(
            values.Split('|', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries),
            value => Assert.True(grammar.Takes($"\n{value}"), value)
        );
        Assert.All(others.Split('|'), value => Assert.False(grammar.Takes($"\n{value.Trim(' ')}"), value));
    }

    [Theory]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}""",
        "schema #/properties/a: uniqueItems is supported only for items with at most 62 possible values"
    )]
    [InlineData(
        """{"type":"object","properties":{"a":{"contains":{"type":"null"}}}}""",
        "schema #/properties/a: 'contains' is not supported here"
    )]
    [InlineData("""{"if":{"type":"null"},"then":{}}""", "schema #: 'if' is not supported here")]
    [InlineData("""{"not":{"type":"null"}}""", "schema #: 'not' is not supported here")]
    [InlineData(
        """{"oneOf":[{"type":"integer"},{"type":"number","minimum":0.5}]}""",
        "schema #: oneOf/0 and oneOf/1 may allow the same value"
    )]
    [InlineData(
        """{"oneOf":[{"properties":{"a":{"const":1}}},{"properties":{"a":{"const":2}}}]}""",
        "schema #: oneOf/0 and oneOf/1 may allow the same value"
    )]
    [InlineData(
        """{"oneOf":[{"type":"string","format":"date"},{"type":"string"}]}""",
        "oneOf/0 and oneOf/1 may allow the same value"
    )]
    [InlineData("""{"oneOf":[]}""", "oneOf must be a list of at least one schema")]
    [InlineData("""{"allOf":[{"type":"string"},{"type":"integer"}]}""", "its parts have no type in common")]
    [InlineData("""{"allOf":[{"$ref":"#"}]}""", "refers to itself")]
    [InlineData("""{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}""", "no value is finite")]
    [InlineData("""{"type":"number","minimum":1e300}""", "beyond 18 digits")]
    [InlineData("""{"type":"number","minimum":1e-300}""", "minimum must be a number with at most 20 decimals")]
    [InlineData("""{"type":"number","multipleOf":0}""", "multipleOf must be a number above 0")]
    [InlineData(
        """{"type":"integer","multipleOf":7,"minimum":8,"maximum":13}""",
        "no number between minimum and maximum is a multiple of multipleOf"
    )]
    [InlineData("""{"type":"array","prefixItems":{"type":"null"}}""", "prefixItems must be a list of schemas")]
    [InlineData(
        """{"type":"array","items":{"enum":[1,1.0]},"uniqueItems":true,"minItems":2}""",
        "fewer distinct items than minItems"
    )]
    [InlineData("""{"type":"string","pattern":"^a+$","maxLength":3,"minLength":4}""", "minLength is above maxLength")]
    [InlineData(
        """{"type":"string","pattern":"^(ab)+$","minLength":3,"maxLength":3}""",
        "allows no text of the required length"
    )]
    [InlineData("""{"type":"string","pattern":"^a$","format":"date"}""", "allows no text")]
    [InlineData("""{"type":"object","maxProperties":1,"minProperties":2}""", "minProperties is above maxProperties")]
    [InlineData("""{"const":"a","minLength":2}""", "enum must be a list with a value of the type")]
    [InlineData("""{"type":"object","properties":5}""", "properties must be an object")]
    [InlineData("""{"type":"strin"}""", "schema #: type 'strin' is not one of")]
    [InlineData("""{"$ref":"#"}""", "refers to itself")]
    [InlineData(
        """{"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]}}}""",
        "refers to itself"
    )]
    [InlineData("""{"$ref":"#/$defs/none"}""", "does not exist")]
    [InlineData("""{"$ref":"https://example.org/x"}""", "not within the schema")]
    [InlineData("""{"type":"string","minLength":3,"maxLength":2}""", "minLength is above maxLength")]
    [InlineData("""{"type":"string","pattern":"(?=x)"}""", "lookaround")]
    [InlineData("""{"type":"string","pattern":"(x"}""", "not closed")]
    [InlineData("""{"type":"integer","minimum":3,"maximum":2}""", "minimum is above maximum")]
    [InlineData("""{"properties":{"a":false},"required":["a"]}""", "schema #/properties/a: false allows no value")]
    [InlineData("""{"additionalProperties":false,"required":["a"]}""", "'a' is required")]
    [InlineData("""{"enum":[]}""", "enum must be a list")]
    [InlineData("""{"const":"\ud800"}""", "unpaired surrogate")]
    [InlineData("""{"properties":{"\udc00":true}}""", "unpaired surrogate")]
    public void What_cannot_be_kept_to_is_named(string schema, string message) =>
        Assert.Contains(message, Assert.Throws<ArgumentException>(() => Grammar(schema)).Message);

    [Fact]
    public void A_call_is_a_name_and_its_arguments_and_a_plain_answer_begins_with_a_line_break()
    {
        using var parameters = JsonDocument.Parse(
            """{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}"""
        );
        var grammar = AnswerGrammar.Of(
            new AnswerContent(null, IsText: true),
            [
                new CallableTool("add", parameters.RootElement),
                new CallableTool("python", null),
                new CallableTool("cogview", parameters.RootElement),
            ]
        );
        Assert.All(
            ["\nany text\nadd", "add\n{\"x\": 1}", "python\nprint(1)\n", "cogview\n{\"x\": 1}", "\n"],
            text => Assert.True(grammar.Takes(text), text)
        );
        Assert.All(
            ["add", "add\n{}", "any", "other\n{}", "python", "cogview\na cat"],
            text => Assert.False(grammar.Takes(text), text)
        );
    }

    [Fact]
    public void A_pattern_never_puts_control_characters_into_a_string_as_they_are()
    {
        var grammar = Grammar("""{"type":"string","pattern":"^[\u0001-b]{2}$"}""");
        Assert.All(["ab", "\\t\\n"], text => Assert.True(grammar.Takes($"\n\"{text}\""), text));
        Assert.All(["\u0001a", "a\u001f", "\ta"], text => Assert.False(grammar.Takes($"\n\"{text}\""), text));
        Assert.Contains(
            "allows no text",
            Assert.Throws<ArgumentException>(() => Grammar("""{"type":"string","pattern":"\u0001"}""")).Message
        );
    }

    [Fact]
    public void Schemas_that_would_exhaust_the_stack_are_refused()
    {
        var chain = string.Concat(
            Enumerable.Range(0, 2000).Select(i => $"\"a{i}\":{{\"items\":{{\"$ref\":\"#/$defs/a{i + 1}\"}}}},")
        );
        Assert.Contains(
            "nested deeper",
            Assert
                .Throws<ArgumentException>(() =>
                    Grammar($$"""{"$ref":"#/$defs/a0","$defs":{ {{chain}}"a2000":{} } }""")
                )
                .Message
        );
        Assert.Contains(
            "needs too many states",
            Assert
                .Throws<ArgumentException>(() =>
                    Grammar($$"""{"properties":{"{{new string('x', 60_000)}}":{} },"additionalProperties":true}""")
                )
                .Message
        );
    }

    [Fact]
    public void An_ambiguous_schema_is_given_up_before_it_costs_much()
    {
        // Ten ways to read each bracket: ten times as many after each.
        var ways = string.Join(
            ',',
            Enumerable.Range(0, 10).Select(i => $$"""{"type":"array","title":"{{i}}","items":{"$ref":"#"} }""")
        );
        var grammar = Grammar($$"""{"anyOf":[{{ways}}]}""");
        Assert.Throws<ConstraintException>(() => grammar.Takes($"\n{new string('[', 50)}"));
    }

    // What a walk at random through the masks writes, token by token, is JSON that an independent validator finds
    // right.
    [Fact]
    public void Whatever_tokens_are_chosen_the_answer_is_valid()
    {
        var tokenizer = TokenizerFile.Read(Path.Combine(GoldenData.Path("../../models/glm-nano")));
        int[] stops = [tokenizer.Special.User];
        var whole = 0;
        Gen.Select(Schemas(3), Gen.ULong)
            .Sample(
                (schema, seed) =>
                {
                    var random = new Random(unchecked((int)seed));
                    var mask = Grammar(schema).NewMask(tokenizer, stops);
                    var (answer, logits) = (new List<int>(), new float[tokenizer.Count]);
                    var allowed = new uint[(tokenizer.Count + 31) / 32];
                    while (answer.Count < 600)
                    {
                        // Quotes and brackets are likelier, so that most walks end.
                        for (var id = 0; id < logits.Length; id++)
                        {
                            logits[id] =
                                random.NextSingle()
                                + (tokenizer.BytesOf(id).IndexOfAny("\"]}"u8) >= 0 ? 0.5f : 0)
                                + (id == stops[0] ? 1 : 0);
                        }

                        mask(answer.ToArray(), allowed);
                        for (var id = 0; id < logits.Length; id++)
                        {
                            logits[id] = (allowed[id >> 5] >> (id & 31) & 1) != 0 ? logits[id] : float.NegativeInfinity;
                        }

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
                        using var value = JsonDocument.Parse(text);
                        Assert.True(
                            JsonSchema.FromText(schema).Evaluate(value.RootElement).IsValid,
                            $"{schema}\n{text}"
                        );
                    }
                },
                iter: 150,
                threads: 1,
                seed: "0000KOIPe033"
            );
        Assert.InRange(whole, 100, 150);
    }

    private static Gen<string> Schemas(int depth)
    {
        var leaf = Gen.OneOf(
            Gen.Select(
                Gen.Int[0, 3],
                Gen.Int[0, 5],
                (least, more) => $$"""{"type":"string","minLength":{{least}},"maxLength":{{least + more}}}"""
            ),
            Gen.Select(
                Gen.Int[-200, 200],
                Gen.Int[0, 3000],
                (least, more) => $$"""{"type":"integer","minimum":{{least}},"maximum":{{least + more}}}"""
            ),
            Gen.OneOf(
                (string[])
                    [
                        """{"type":"boolean"}""",
                        """{"type":"null"}""",
                        """{"type":"number"}""",
                        """{"enum":["one","two",3]}""",
                        """{"type":"string","pattern":"^[a-f]{2,4}(-\\d)?$"}""",
                    ]
            )
        );
        return depth == 0
            ? leaf
            : Gen.Frequency(
                (1, (IGen<string>)leaf),
                (
                    2,
                    Gen.Select(
                        Schemas(depth - 1),
                        Gen.Int[0, 2],
                        Gen.Int[0, 2],
                        (items, least, more) =>
                            $$"""{"type":"array","items":{{items}},"minItems":{{least}},"maxItems":{{least + more}}}"""
                    )
                ),
                (
                    3,
                    Gen.Select(
                        Schemas(depth - 1).Array[1, 4],
                        Gen.Int[0, 15],
                        Gen.Bool,
                        (members, required, open) =>
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
                                )}}],
                                 "additionalProperties":{{(open ? "{\"type\":\"integer\"}" : "false")}}}
                                """
                    )
                )
            );
    }

    private static AnswerGrammar Grammar(string schema)
    {
        using var document = JsonDocument.Parse(schema);
        return AnswerGrammar.Of(new AnswerContent(document.RootElement.Clone()), []);
    }
}
