using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;

namespace GlmTune.Server.Tests;

/// <summary>Whatever is sent, the server answers 200, or an error 4xx in JSON of OpenAI's shape; never 5xx.</summary>
/// <remarks>GLMTUNE_MALFORMED_REQUESTS says how many; 400 unless set.</remarks>
public sealed class MalformedRequestTests(NanoServer nano, ITestOutputHelper output)
{
    private static readonly int Count = int.Parse(
        Environment.GetEnvironmentVariable("GLMTUNE_MALFORMED_REQUESTS") ?? "400",
        CultureInfo.InvariantCulture
    );

    private const string Valid = """
        {"model":"glm-nano","max_tokens":1,"temperature":0,"n":1,"seed":3,"stop":["x"],"logprobs":true,"top_logprobs":1,"stream":false,"logit_bias":{"12":1,"300":-100},"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},"response_format":{"type":"text"},
         "messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"t"}]}],
         "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]}
        """;

    private static readonly string[] Fields =
    [
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "n",
        "seed",
        "stop",
        "logprobs",
        "top_logprobs",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "response_format",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "parallel_tool_calls",
        "prompt",
        "echo",
        "best_of",
        "suffix",
        "user",
        "logit_bias",
        "functions",
        "function_call",
        "modalities",
        "audio",
        "web_search_options",
        "prediction",
        "store",
        "metadata",
        "service_tier",
    ];

    private static readonly Gen<string> Texts = Gen.OneOf(
        Gen.OneOf(
            (string[])
                [
                    "\"\"",
                    "\"x\"",
                    "\"\\ud800\"",
                    "\"\\u0000\"",
                    "\"none\"",
                    "\"required\"",
                    "\"json_object\"",
                    "\"<|user|>\"",
                    "\"../../etc/passwd\"",
                    "\"😀\"",
                    "\"function\"",
                    "\"user\"",
                    "\"tool\"",
                ]
        ),
        Gen.String[0, 12].Select(text => JsonSerializer.Serialize(text))
    );

    private static readonly Gen<string> Scalars = Gen.OneOf(
        Texts,
        Gen.OneOf(
            (string[])
                [
                    "null",
                    "true",
                    "false",
                    "0",
                    "-1",
                    "1",
                    "1.5",
                    "1e999",
                    "-1e-999",
                    "99999999999999999999",
                    "2147483648",
                    "NaN",
                    "1.0",
                ]
        ),
        Gen.Int.Select(value => value.ToString(CultureInfo.InvariantCulture))
    );

    private static readonly string[] Keys =
    [
        "type",
        "function",
        "name",
        "arguments",
        "role",
        "content",
        "text",
        "tool_calls",
        "id",
        "parameters",
        "json_schema",
        "schema",
        "properties",
        "items",
        "anyOf",
        "enum",
        "$ref",
        "required",
        "strict",
        "minimum",
        "maxLength",
        "pattern",
        "include_usage",
        "additionalProperties",
        "const",
        "minItems",
        "allowed_tools",
        "mode",
        "tools",
        "description",
        "refusal",
        "12",
        "-1",
    ];

    private static Gen<string> Values(int depth) =>
        depth == 0
            ? Scalars
            : Gen.Frequency(
                (2, (IGen<string>)Scalars),
                (1, Values(depth - 1).Array[0, 3].Select(items => $"[{string.Join(',', items)}]")),
                (
                    2,
                    Gen.Select(Gen.OneOf(Keys), Values(depth - 1))
                        .Array[0, 4]
                        .Select(members =>
                            $"{{{string.Join(',', members.Select(member => $"\"{member.Item1}\":{member.Item2}"))}}}"
                        )
                )
            );

    // A valid request with a part replaced by anything, at any depth.
    private static readonly Gen<byte[]> Replaced = Gen.Select(Gen.Int[0, 75], Values(3))
        .Select(
            (place, value) =>
            {
                var marked = 0;
                var text = Mark(JsonNode.Parse(Valid)!, ref marked, place)!.ToJsonString();
                return Encoding.UTF8.GetBytes(text.Replace("\"@@\"", value, StringComparison.Ordinal));
            }
        );

    private static readonly Gen<byte[]> OtherField = Gen.Select(Gen.OneOf(Fields), Values(3))
        .Select(
            (field, value) =>
                Encoding.UTF8.GetBytes(
                    $"{{\"max_tokens\":1,\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],"
                        + $"\"prompt\":\"x\",\"{field}\":{value}}}"
                )
        );

    private static readonly Gen<byte[]> ResponseFormat = Values(4)
        .Select(schema =>
            Encoding.UTF8.GetBytes(
                $$$"""{"max_tokens":2,"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{{{schema}}} } } }"""
            )
        );

    private static readonly Gen<byte[]> Damaged = Gen.Select(
            Gen.Int[0, Valid.Length - 1],
            Gen.Int[0, 40],
            Gen.Byte.Array[0, 6]
        )
        .Select(
            (place, cut, inserted) =>
            {
                var bytes = Encoding.UTF8.GetBytes(Valid);
                place = Math.Min(place, bytes.Length);
                return (byte[])[.. bytes[..place], .. inserted, .. bytes[Math.Min(bytes.Length, place + cut)..]];
            }
        );

    private static readonly Gen<byte[]> Deep = Gen.Int[1, 3000]
        .Select(depth => Encoding.UTF8.GetBytes($"{{\"messages\":{new string('[', depth)}{new string(']', depth)}}}"));

    private static readonly Gen<byte[]> Bodies = Gen.Frequency(
        (4, (IGen<byte[]>)Replaced),
        (4, OtherField),
        (3, ResponseFormat),
        (3, Damaged),
        (1, Deep),
        (1, Gen.Byte.Array[0, 200]),
        (1, Values(3).Select(Encoding.UTF8.GetBytes))
    );

    [Fact]
    public async Task The_request_that_is_damaged_is_a_good_one()
    {
        var (status, body) = await nano.Http.PostAsync("/v1/chat/completions", Valid);
        Assert.True(status == System.Net.HttpStatusCode.OK, body.ToJsonString());
    }

    [Fact]
    public async Task Never_5xx_and_every_error_has_the_shape()
    {
        var statuses = new System.Collections.Concurrent.ConcurrentDictionary<int, int>();
        var requests = Gen.Select(
            Gen.OneOf((string[])["/v1/chat/completions", "/v1/chat/completions", "/v1/completions"]),
            Bodies
        );
        await requests.SampleAsync(
            async (path, body) =>
            {
                using var content = new ByteArrayContent(body)
                {
                    Headers = { ContentType = new MediaTypeHeaderValue("application/json") },
                };
                using var response = await nano.Http.PostAsync(path, content);
                var (status, text) = ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
                statuses.AddOrUpdate(status, 1, (_, count) => count + 1);
                Assert.True(
                    status == 200 || status is >= 400 and < 500,
                    $"{status} for {Encoding.UTF8.GetString(body)}: {text}"
                );
                Assert.DoesNotContain("\"error\":", status == 200 ? text : "");
                if (status != 200)
                {
                    var error = JsonNode.Parse(text)!["error"]!.AsObject();
                    Assert.Equal(["message", "type", "param", "code"], error.Select(member => member.Key));
                    Assert.NotEmpty(error["message"]!.GetValue<string>());
                    Assert.Equal("invalid_request_error", error["type"]!.GetValue<string>());
                }
            },
            iter: Count,
            threads: 4,
            seed: Count == 400 ? "0000KOIPe033" : null
        );
        output.WriteLine(
            string.Join(
                ", ",
                statuses.OrderBy(status => status.Key).Select(status => $"{status.Value} times {status.Key}")
            )
        );
        Assert.True(statuses.Where(status => status.Key >= 400).Sum(status => status.Value) > Count / 3);
    }

    private static JsonNode? Mark(JsonNode? node, ref int count, int place)
    {
        if (count++ == place)
        {
            return JsonValue.Create("@@");
        }

        switch (node)
        {
            case JsonObject all:
                var members = new JsonObject();
                foreach (var (key, value) in all)
                {
                    members[key] = Mark(value, ref count, place);
                }

                return members;
            case JsonArray all:
                var items = new JsonArray();
                foreach (var item in all)
                {
                    items.Add(Mark(item, ref count, place));
                }

                return items;
            default:
                return node?.DeepClone();
        }
    }
}
