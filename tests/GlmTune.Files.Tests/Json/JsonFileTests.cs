using System.Text;
using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Files.Tests.Json;

public sealed class JsonFileTests : IDisposable
{
    private readonly string path = Path.GetTempFileName();

    public void Dispose() => File.Delete(path);

    [Theory]
    [InlineData("{“a”: 1}", 1, "found “ (a typographic quotation mark)")]
    [InlineData("{\"a\"：1}", 4, "found ： (a full-width colon)")]
    [InlineData("{\"a\": 1，\"b\": 2}", 7, "found ， (a full-width comma)")]
    [InlineData("{'a': 1}", 1, "found ' (a single quote)")]
    [InlineData("{\"a\": 1,}", 8, "found a comma before }")]
    [InlineData("[1, 2,]", 6, "found a comma before ]")]
    [InlineData("{// note\n\"a\": 1}", 1, "found a comment")]
    [InlineData("# note\n{}", 0, "found a comment")]
    [InlineData("[NaN]", 1, "found NaN; JSON has no such number")]
    [InlineData("[-Infinity]", 1, "found -Infinity; JSON has no such number")]
    [InlineData("{\"a\": None}", 6, "found None (Python's word); write null")]
    [InlineData("{\"a\": True}", 6, "found True; write true")]
    [InlineData("{a: 1}", 1, "found a; expected a key in double quotes")]
    [InlineData("{\"a\" 1}", 5, "found 1; expected a colon")]
    [InlineData("[1 2]", 3, "found 2; expected a comma")]
    [InlineData("[007]", 1, "begins with 0")]
    [InlineData("[1.]", 3, "expected a digit after the point")]
    [InlineData("[+1]", 1, "found +; expected a value")]
    [InlineData("{} {}", 3, "after the end of the value")]
    [InlineData("{\"a\": [1", 8, "the text ends; expected a comma (,) or ]")]
    [InlineData("{\"a\": \"x", 6, "no closing \"")]
    [InlineData("[\"a\nb\"]", 3, "line break inside a string")]
    [InlineData("[\"a\tb\"]", 3, "tab inside a string")]
    [InlineData("[\"C:\\data\"]", 4, "found \\d in a string")]
    [InlineData("[\"\\u12\"]", 2, "without four hexadecimal digits")]
    [InlineData("[\"\\ud83d\"]", 2, "an unpaired surrogate")]
    [InlineData("[\"\\ude00\"]", 2, "an unpaired surrogate")]
    [InlineData("", 0, "the text is empty")]
    public void A_fault_is_described_in_plain_words_where_it_is(string text, int offset, string words)
    {
        var fault = JsonFile.TryParse(text, out _);
        Assert.Equal(offset, fault?.Offset);
        Assert.Contains(words, fault!.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"role\": 1, \"r\\u006fle\": 2}", "duplicate key 'role'")]
    [InlineData("{\"a\": {\"b\": 1, \"c\": 2, \"b\": 3}}", "duplicate key 'b'")]
    public void A_key_that_is_there_twice_is_a_fault(string text, string words) =>
        Assert.Contains(words, JsonFile.TryParse(text, out _)?.Text, StringComparison.Ordinal);

    [Fact]
    public void Equal_keys_of_different_objects_and_many_keys_are_no_fault()
    {
        Assert.Null(JsonFile.TryParse("[{\"a\": {\"a\": 1}}, {\"a\": 2}]", out _));
        var many = string.Join(',', Enumerable.Range(0, 100).Select(key => $"\"k{key}\": {key}"));
        Assert.Null(JsonFile.TryParse($"{{{many}}}", out _));
        Assert.Contains("'k7'", JsonFile.TryParse($"{{{many}, \"k7\": 0}}", out _)?.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_byte_order_mark_is_passed_over_and_pairs_of_surrogates_are_read()
    {
        File.WriteAllText(
            path,
            "{\"a\": \"\\ud83d\\ude00😀\"}",
            new UTF8Encoding(encoderShouldEmitUTF8Identifier: true)
        );
        Assert.Equal("😀😀", JsonFile.ReadObject(path).GetProperty("a").GetString());
    }

    [Fact]
    public void An_error_names_file_line_and_character()
    {
        File.WriteAllText(path, "{\n  \"路径\": \"/模型\"\n  \"r\": 8\n}");
        var error = Assert.Throws<InvalidDataException>(() => JsonFile.ReadObject(path));
        Assert.Equal(
            $"{path}, line 3, character 3: not valid JSON: found \"; expected a comma (,) or }}.",
            error.Message
        );
    }

    [Theory]
    [InlineData("", "is empty, or is not a regular file")]
    [InlineData(" \n", "is empty; expected an object")]
    [InlineData("[1]", "found an array; expected an object")]
    public void Another_kind_of_value_is_named(string content, string words)
    {
        File.WriteAllText(path, content);
        Assert.Contains(
            words,
            Assert.Throws<InvalidDataException>(() => JsonFile.ReadObject(path)).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Bytes_that_are_not_UTF_8_are_named()
    {
        File.WriteAllBytes(path, [.. "{\"a\": \""u8, 0xC4, 0xE3, .. "\"}"u8]);
        Assert.Contains(
            "byte 8 (0xC4) is not valid UTF-8",
            Assert.Throws<InvalidDataException>(() => JsonFile.Read(path)).Message,
            StringComparison.Ordinal
        );
        File.WriteAllText(path, "{}", Encoding.Unicode);
        Assert.Contains(
            "UTF-16",
            Assert.Throws<InvalidDataException>(() => JsonFile.Read(path)).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Depth_and_size_have_limits()
    {
        string Nested(int depth) => new string('[', depth) + new string(']', depth);
        Assert.Null(JsonFile.TryParse(Nested(JsonFile.MaxDepth), out _));
        Assert.Contains(
            "at most 512",
            JsonFile.TryParse(Nested(JsonFile.MaxDepth + 1), out _)?.Text,
            StringComparison.Ordinal
        );
        File.WriteAllText(path, $"\"{new string('x', 2 << 20)}\"");
        Assert.Contains(
            "at most 1 MiB",
            Assert.Throws<InvalidDataException>(() => JsonFile.Read(path, maxBytes: 1 << 20)).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_missing_file_and_a_folder_are_named()
    {
        var missing = path + ".missing";
        Assert.Equal(
            $"{missing}: file not found.",
            Assert.Throws<InvalidDataException>(() => JsonFile.Read(missing)).Message
        );
        Assert.Contains(
            "is a folder",
            Assert.Throws<InvalidDataException>(() => JsonFile.Read(Path.GetTempPath())).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void It_agrees_with_the_library_on_damaged_texts()
    {
        const string Sound = "{\"a\": [1, -2.5e+3, true, null, \"x\\n\\u00e9\"], \"b\": {\"c\": {}, \"d\": []}}";
        var random = new Random(7);
        var damaged = Enumerable.Range(0, 5000).Select(_ => Damage(Sound, random)).Prepend(Sound);
        Assert.All(damaged, text => Assert.Equal(IsSound(text), JsonFile.TryParse(text, out _) is null));
    }

    private static string Damage(string text, Random random)
    {
        const string Characters = "{}[]\",:0129-+.eE\\utfn \n";
        var bytes = new StringBuilder(text);
        for (var changes = random.Next(1, 4); changes > 0; changes--)
        {
            bytes[random.Next(bytes.Length)] = Characters[random.Next(Characters.Length)];
        }

        return bytes.ToString();
    }

    private static bool IsSound(string text)
    {
        try
        {
            using var json = JsonDocument.Parse(
                text,
                new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = JsonFile.MaxDepth }
            );
            return Strings(json.RootElement).All(each => each.Length >= 0);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    private static IEnumerable<string> Strings(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => [value.GetString()!],
            JsonValueKind.Array => value.EnumerateArray().SelectMany(Strings),
            JsonValueKind.Object => value
                .EnumerateObject()
                .SelectMany(member => Strings(member.Value).Prepend(member.Name)),
            _ => [],
        };
}
