using System.Text.Json;

namespace GlmTune.Cli.Commands;

public sealed class TokenizeCommandTests
{
    private static readonly string Nano = Run.InRepository("models/glm-nano");

    [Fact]
    public async Task Text_stays_plain_unless_special_tokens_are_asked_for()
    {
        var plain = Ids(await Run.Of("tokenize", Nano, "--text", "a<|user|>b", "--json"));
        var special = Ids(await Run.Of("tokenize", Nano, "--text", "a<|user|>b", "--special", "--json"));
        Assert.DoesNotContain(2039, plain);
        Assert.Equal([2039], special.Where(id => id >= 2034));
        Assert.Equal(3, special.Length);
    }

    [Fact]
    public async Task Chat_asks_for_an_answer_to_a_users_message()
    {
        var plain = Ids(await Run.Of("tokenize", Nano, "--text", "你好", "--json"));
        var newline = Ids(await Run.Of("tokenize", Nano, "--text", "\n", "--json"));
        var chat = Ids(await Run.Of("tokenize", Nano, "--text", "你好", "--chat", "--json"));
        Assert.Equal([2034, 2036, 2039, .. newline, .. plain, 2040], chat);
    }

    [Theory]
    [InlineData("@not-a-file")]
    [InlineData("-v")]
    [InlineData("--")]
    [InlineData("")]
    [InlineData("[gMASK]")]
    [InlineData("a \"quoted\" 'text'")]
    public async Task Every_text_can_be_given_as_an_argument(string text)
    {
        using var folder = new TemporaryFolder();
        string[] option = text.StartsWith("--", StringComparison.Ordinal) ? [$"--text={text}"] : ["--text", text];
        var given = await Run.Of(["tokenize", Nano, .. option, "--json"]);
        var read = await Run.Of("tokenize", Nano, "--file", folder.Write("text.txt", text), "--json");
        Assert.Equal((0, read.Output), (given.Code, given.Output));
    }

    [Fact]
    public async Task A_jsonl_file_gives_a_line_of_ids_for_each_of_its_lines()
    {
        using var folder = new TemporaryFolder();
        var file = folder.Write(
            "texts.jsonl",
            "\"你好\"\n{\"text\": \"two\\nlines\"}\n\"\"\n\"\\ud83d\\ude00 \\ud800 \\\\ud800\"\n"
        );
        var run = await Run.Of("tokenize", Nano, "--jsonl", file, "--json");
        Assert.Equal(0, run.Code);
        string[] texts = ["你好", "two\nlines", "", "😀 \uFFFD \\ud800"];
        Assert.Equal(texts.Length, run.Lines.Length);
        foreach (var (text, line) in texts.Zip(run.Lines))
        {
            var one = await Run.Of("tokenize", Nano, "--file", folder.Write("one.txt", text), "--json");
            Assert.Equal(one.Lines.Single(), line);
        }

        var words = await Run.Of("tokenize", Nano, "--jsonl", file);
        Assert.Equal(string.Join(' ', JsonSerializer.Deserialize<int[]>(run.Lines[0])!), words.Lines[0]);
    }

    [Theory]
    [InlineData("\"a\"\n{\"content\": \"b\"}\n", "line 2: an object without 'text'")]
    [InlineData("\"a\"\n\n[1]\n", "line 3: found array")]
    [InlineData("\"a\n", "line 1: not valid JSON")]
    public async Task A_line_that_is_no_text_is_named(string lines, string expected)
    {
        using var folder = new TemporaryFolder();
        var run = await Run.Of("tokenize", Nano, "--jsonl", folder.Write("texts.jsonl", lines));
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData]
    [InlineData("--text", "a", "--file", "b")]
    [InlineData("--text", "a", "--chat", "--special")]
    public async Task What_contradicts_itself_is_refused(params string[] options)
    {
        Assert.Equal(2, (await Run.Of(["tokenize", Nano, .. options])).Code);
    }

    [Fact]
    public async Task Ids_of_the_published_tokenizer_are_those_of_the_original()
    {
        using var folder = new TemporaryFolder();
        using var golden = JsonDocument.Parse(File.ReadAllBytes(GoldenData.Path("tokenizer/unicode.json")));
        var cases = golden.RootElement.EnumerateArray().ToArray();
        Assert.Equal(200, cases.Length);
        var file = folder.Write(
            "texts.jsonl",
            string.Join(
                '\n',
                cases.Select(one => JsonSerializer.Serialize(new { text = one.GetProperty("text").GetString() }))
            )
        );
        var run = await Run.Of("tokenize", GoldenData.Shared("glm4"), "--jsonl", file, "--json");
        Assert.Equal(cases.Select(one => JsonSerializer.Serialize(one.GetProperty("ids"))), run.Lines);
    }

    private static int[] Ids(Run run)
    {
        Assert.Equal((0, ""), (run.Code, run.Error));
        return JsonSerializer.Deserialize<int[]>(run.Output)!;
    }
}
