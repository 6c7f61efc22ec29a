using System.Text.Json;
using Json.Schema;

namespace GlmTune.Constraints.Tests;

/// <summary>What pydantic 2 and zod 3 and 4 write as JSON schema.</summary>
public class LibrarySchemaTests
{
    private static readonly EvaluationOptions Strictly = new() { RequireFormatValidation = true };

    // Name, schema, a list of values that are of it, a list of others.
    public static TheoryData<string, string, string, string> Schemas =>
        new()
        {
            {
                "pydantic: Optional, defaults, titles",
                """{"properties":{"name":{"title":"Name","type":"string"},"age":{"anyOf":[{"type":"integer"},{"type":"null"}],"default":null,"title":"Age"}},"required":["name"],"title":"User","type":"object"}""",
                """[{"name":"x"},{"name":"你好","age":null},{"name":"","age":-3}]""",
                """[{},{"name":1},{"name":"x","age":1.5},{"age":1}]"""
            },
            {
                "pydantic: Literal and Enum",
                """{"$defs":{"Color":{"enum":["red","green"],"title":"Color","type":"string"}},"properties":{"mode":{"enum":["a","b"],"type":"string"},"one":{"const":"x","default":"x","type":"string"},"color":{"$ref":"#/$defs/Color","default":"red"}},"required":["mode"],"type":"object"}""",
                """[{"mode":"a"},{"mode":"b","one":"x","color":"green"}]""",
                """[{"mode":"c"},{"mode":"a","one":"y"},{"mode":"a","color":"blue"}]"""
            },
            {
                "pydantic: discriminated union",
                """
                    {"$defs":{"Cat":{"properties":{"kind":{"const":"cat","type":"string"},"lives":{"type":"integer"}},"required":["kind","lives"],"type":"object"},
                              "Dog":{"properties":{"kind":{"const":"dog","type":"string"},"name":{"type":"string"}},"required":["kind","name"],"type":"object"}},
                     "properties":{"pet":{"discriminator":{"mapping":{"cat":"#/$defs/Cat","dog":"#/$defs/Dog"},"propertyName":"kind"},"oneOf":[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Dog"}]}},"required":["pet"],"type":"object"}
                    """,
                """[{"pet":{"kind":"cat","lives":9}},{"pet":{"kind":"dog","name":"Rex"}}]""",
                """[{"pet":{"kind":"dog","lives":9}},{"pet":{"kind":"cow"}},{"pet":{}}]"""
            },
            {
                "pydantic: discriminated union whose literals have defaults, nested",
                """
                    {"$defs":{"A":{"properties":{"type":{"const":"a","default":"a","type":"string"},"next":{"anyOf":[{"discriminator":{"propertyName":"type"},"oneOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/B"}]},{"type":"null"}],"default":null}},"type":"object"},
                              "B":{"properties":{"type":{"const":"b","default":"b","type":"string"}},"type":"object"}},
                     "discriminator":{"propertyName":"type"},"oneOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/B"}]}
                    """,
                """[{"type":"b"},{"type":"a"},{"type":"a","next":{"type":"a","next":{"type":"b"}}},{"type":"a","next":null}]""",
                """[{"type":"c"},{"type":"a","next":{"type":"c"}},{"type":"b","next":1,"type":"a"}]"""
            },
            {
                "pydantic: conint, confloat, Field bounds",
                """{"properties":{"a":{"exclusiveMinimum":0,"type":"integer"},"b":{"maximum":1.0,"minimum":0.0,"type":"number"},"c":{"multipleOf":5,"type":"integer"},"d":{"exclusiveMaximum":2.5,"minimum":-2.5,"multipleOf":0.5,"type":"number"}},"required":["a","b","c","d"],"type":"object"}""",
                """[{"a":1,"b":0.25,"c":10,"d":-2.5},{"a":77,"b":1,"c":-5,"d":2}]""",
                """[{"a":0,"b":0.5,"c":5,"d":0},{"a":1,"b":1.01,"c":5,"d":0},{"a":1,"b":0,"c":4,"d":0},{"a":1,"b":0,"c":5,"d":2.5},{"a":1,"b":0,"c":5,"d":0.3}]"""
            },
            {
                "pydantic: constr, list bounds, set of an enum",
                """{"properties":{"code":{"maxLength":6,"minLength":2,"pattern":"^[A-Z]+$","type":"string"},"tags":{"items":{"type":"string"},"maxItems":2,"minItems":1,"type":"array"},"set":{"items":{"enum":["x","y","z"],"type":"string"},"type":"array","uniqueItems":true}},"required":["code","tags","set"],"type":"object"}""",
                """[{"code":"AB","tags":["t"],"set":[]},{"code":"ABCDEF","tags":["t","t"],"set":["z","x"]}]""",
                """[{"code":"A","tags":["t"],"set":[]},{"code":"ABCDEFG","tags":["t"],"set":[]},{"code":"ab","tags":["t"],"set":[]},{"code":"AB","tags":[],"set":[]},{"code":"AB","tags":["t"],"set":["x","x"]}]"""
            },
            {
                "pydantic: Decimal",
                """{"properties":{"price":{"anyOf":[{"type":"number"},{"pattern":"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$","type":"string"}]}},"required":["price"],"type":"object"}""",
                """[{"price":1.5},{"price":"12.50"},{"price":"-3"},{"price":".5"}]""",
                """[{"price":"."},{"price":""},{"price":"1.2.3"},{"price":"-"},{"price":null}]"""
            },
            {
                "pydantic: datetime, date, time, timedelta, UUID, EmailStr, AnyUrl, HttpUrl, IPv4Address",
                """
                    {"properties":{"at":{"format":"date-time","type":"string"},"on":{"format":"date","type":"string"},"length":{"format":"duration","type":"string"},"id":{"format":"uuid","type":"string"},
                     "mail":{"format":"email","type":"string"},"url":{"format":"uri","maxLength":2083,"minLength":1,"type":"string"},"ip":{"format":"ipv4","type":"string"},"file":{"format":"path","type":"string"}},"type":"object"}
                    """,
                """[{"at":"2024-02-29T12:00:00Z","on":"2023-12-31","length":"PT5M","id":"123e4567-e89b-12d3-a456-426614174000","mail":"a@example.org","url":"https://example.org/x?y=z","ip":"10.0.0.1","file":"a/b"}]""",
                """[{"at":"2024-02-30T12:00:00Z"},{"on":"2023-02-29"},{"length":"5M"},{"id":"1"},{"mail":"a"},{"url":"example"},{"ip":"256.0.0.1"}]"""
            },
            {
                "pydantic: dict[str, X], dict[Literal, X], dict of a pattern, tuple, bytes, Any",
                """
                    {"properties":{"m":{"additionalProperties":{"type":"integer"},"type":"object"},"l":{"additionalProperties":{"type":"boolean"},"propertyNames":{"enum":["a","b"]},"type":"object"},
                     "p":{"patternProperties":{"^k\\d$":{"type":"string"}},"type":"object"},"t":{"maxItems":2,"minItems":2,"prefixItems":[{"type":"integer"},{"type":"string"}],"type":"array"},
                     "n":{"additionalProperties":{"type":"string"},"minProperties":1,"maxProperties":2,"type":"object"},"x":{"title":"X"}},"type":"object"}
                    """,
                """[{"m":{"你好":1,"x":2}},{"l":{"a":true,"b":false}},{"p":{"k1":"v"}},{"t":[1,"a"]},{"n":{"a":"b"}},{"x":[1,{"y":null}]}]""",
                """[{"m":{"a":"b"}},{"l":{"c":true}},{"t":[1]},{"t":[1,"a",2]},{"n":{}},{"n":{"a":"","b":"","c":""}}]"""
            },
            {
                "pydantic: recursive model, all of one reference",
                """{"$defs":{"Node":{"properties":{"value":{"type":"integer"},"children":{"default":[],"items":{"$ref":"#/$defs/Node"},"type":"array"}},"required":["value"],"type":"object"}},"allOf":[{"$ref":"#/$defs/Node"}]}""",
                """[{"value":1},{"value":1,"children":[{"value":2,"children":[]}]}]""",
                """[{"children":[]},{"value":1,"children":[{}]}]"""
            },
            {
                "zod: object, optional, nullable, int, record",
                """
                    {"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"a":{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991},"b":{"anyOf":[{"type":"string"},{"type":"null"}]},
                     "c":{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"number"}},"d":{"type":"number","exclusiveMinimum":0}},"required":["a","b","c"],"additionalProperties":false}
                    """,
                """[{"a":9007199254740991,"b":null,"c":{}},{"a":0,"b":"x","c":{"y":1.5},"d":0.001}]""",
                """[{"a":9007199254740992,"b":null,"c":{}},{"a":1.5,"b":null,"c":{}},{"a":1,"c":{}},{"a":1,"b":null,"c":{"y":"z"}},{"a":1,"b":null,"c":{},"d":0}]"""
            },
            {
                "zod: discriminatedUnion and union of literals",
                """
                    {"oneOf":[{"type":"object","properties":{"status":{"type":"string","const":"ok"},"data":{"type":"string"}},"required":["status","data"],"additionalProperties":false},
                              {"type":"object","properties":{"status":{"type":"string","enum":["failed","late"]},"error":{"anyOf":[{"type":"string","const":"a"},{"type":"number","const":1}]}},"required":["status","error"],"additionalProperties":false}]}
                    """,
                """[{"status":"ok","data":""},{"status":"late","error":1},{"status":"failed","error":"a"}]""",
                """[{"status":"ok","error":1},{"status":"failed","error":2},{"status":"other"}]"""
            },
            {
                "zod: intersection",
                """{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"type":"object","properties":{"b":{"type":"number","minimum":1}},"required":["b"]}]}""",
                """[{"a":"","b":1}]""",
                """[{"a":""},{"b":1},{"a":"","b":0}]"""
            },
            {
                "zod 4: email, uuid, datetime with their patterns",
                """
                    {"type":"object","properties":{"mail":{"type":"string","format":"email","pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"},
                     "id":{"type":"string","format":"uuid","pattern":"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$"},
                     "at":{"type":"string","format":"date-time","pattern":"^(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(?:0[1-9]|1\\d|2[0-8])))T(?:(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d+)?)?(?:Z))$"},
                     "b64":{"type":"string","format":"base64","contentEncoding":"base64","pattern":"^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$"}},"additionalProperties":false}
                    """,
                """[{"mail":"a.b@example.org"},{"id":"123e4567-e89b-12d3-a456-426614174000"},{"at":"2024-02-29T23:59:59Z"},{"b64":""},{"b64":"YWJj"},{"b64":"YQ=="}]""",
                """[{"mail":"a..b@example.org"},{"mail":".a@example.org"},{"id":"123e4567-e89b-92d3-a456-426614174000"},{"at":"2023-02-29T23:59:59Z"},{"b64":"a"}]"""
            },
            {
                "zod: startsWith, endsWith, includes, length, tuple with rest, lazy",
                """
                    {"type":"object","properties":{"s":{"type":"string","minLength":3,"maxLength":8,"allOf":[{"pattern":"^ab.*"},{"pattern":".*yz$"},{"pattern":"m"}]},
                     "t":{"type":"array","prefixItems":[{"type":"string"},{"type":"number"}],"items":{"type":"boolean"}},"l":{"$ref":"#/$defs/l"}},"additionalProperties":false,
                     "$defs":{"l":{"anyOf":[{"type":"number"},{"type":"array","items":{"$ref":"#/$defs/l"}}]}}}
                    """,
                """[{"s":"abmyz"},{"t":["a",1]},{"t":["a",1,true,false]},{"l":[1,[2,[]]]}]""",
                """[{"s":"abyz"},{"s":"abmmmmmyz"},{"t":[1,1]},{"t":["a",1,1]},{"l":["a"]}]"""
            },
            {
                "zod 3: older drafts' tuple, exclusive bounds of OpenAPI, never",
                """{"type":"object","properties":{"t":{"type":"array","minItems":2,"maxItems":2,"items":[{"type":"string"},{"type":"string"}]},"n":{"not":{}},"d":{"$ref":"#/definitions/d"}},"additionalProperties":false,"definitions":{"d":{"type":"null"}},"$schema":"http://json-schema.org/draft-07/schema#"}""",
                """[{},{"t":["a","b"],"d":null}]""",
                """[{"t":["a"]},{"t":["a",1]},{"n":1}]"""
            },
            {
                "OpenAI: strict with nullable references and nested definitions",
                """
                    {"type":"object","properties":{"steps":{"type":"array","items":{"$ref":"#/$defs/step"}},"final":{"anyOf":[{"$ref":"#/$defs/step"},{"type":"null"}]},"kind":{"type":["string","null"],"enum":["a","b",null]}},
                     "required":["steps","final","kind"],"additionalProperties":false,"$defs":{"step":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}}}
                    """,
                """[{"steps":[{"text":"x"}],"final":null,"kind":null},{"steps":[],"final":{"text":""},"kind":"b"}]""",
                """[{"steps":[],"final":null},{"steps":[{}],"final":null,"kind":"a"},{"steps":[],"final":null,"kind":"c"}]"""
            },
        };

    [Theory]
    [MemberData(nameof(Schemas))]
    public void What_libraries_write_is_kept_to(string name, string schema, string values, string others)
    {
        Assert.NotEmpty(name);
        using var parsed = JsonDocument.Parse(schema);
        var grammar = AnswerGrammar.Of(new AnswerContent(parsed.RootElement.Clone()), []);
        var validator = JsonSchema.FromText(
            schema,
            new BuildOptions
            {
                Dialect = schema.Contains("draft-07", StringComparison.Ordinal) ? Dialect.Draft07 : Dialect.Draft202012,
            }
        );
        foreach (var value in JsonElement.Parse(values).EnumerateArray())
        {
            Assert.True(validator.Evaluate(value, Strictly).IsValid, $"the validator refuses {value.GetRawText()}");
            Assert.True(grammar.Takes($"\n{value.GetRawText()}"), $"refused: {value.GetRawText()}");
        }

        foreach (var other in JsonElement.Parse(others).EnumerateArray())
        {
            Assert.False(grammar.Takes($"\n{other.GetRawText()}"), $"taken: {other.GetRawText()}");
        }
    }
}
