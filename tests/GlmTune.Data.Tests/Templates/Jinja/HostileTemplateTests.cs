using System.Text.Json;
using GlmTune.Data.Templates.Jinja;

namespace GlmTune.Data.Tests.Templates.Jinja;

/// <summary>A template is a program that may come from anybody: it ends, with an error of its own kind.</summary>
public class HostileTemplateTests
{
    private static readonly JsonElement Variables = JsonDocument
        .Parse("""{"messages": [{"role": "user", "content": "hello"}], "n": 9223372036854775807}""")
        .RootElement;

    [Theory]
    [InlineData("{% for i in range(1000000000000) %}{% endfor %}", "steps")]
    [InlineData("{% for i in range(9223372036854775806, n) %}{{ i }}{% endfor %}{{ range(n) }}", "steps")]
    [InlineData("{{ 'a' * 1000000000000 }}", "characters")]
    [InlineData("{{ 'aaaa' * n }}", "characters")]
    [InlineData(
        "{% set ns = namespace(t='ab') %}{% for i in range(100) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
        "characters"
    )]
    [InlineData(
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "characters"
    )]
    [InlineData(
        "{% set ns = namespace(t='ab') %}{% for i in range(100) %}{% set ns.t = ns.t|replace('a', 'aab') "
            + "%}{% endfor %}",
        "characters"
    )]
    [InlineData("{% for i in range(100000) %}{{ 'abcdefgh' * 1000 }}{% endfor %}", "characters")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deep")]
    [InlineData("{{ n + 1 }}", "64 bits")]
    [InlineData("{{ 10 ** 30 }}", "64 bits")]
    [InlineData("{{ 99999999999999999999 }}", "64 bits")]
    [InlineData("{{ messages.__class__ }}{{ messages.__class__.x }}", "undefined")]
    [InlineData("{{ messages.clear() }}", "no method")]
    [InlineData("{{ self.x }}", "undefined")]
    [InlineData("{{ ''.format(messages) }}", "no method")]
    [InlineData("{{ namespace(a=1)|tojson }}", "no JSON")]
    [InlineData("{% set messages.x = 1 %}", "not a namespace")]
    public void It_ends_with_an_error_that_says_why(string template, string said)
    {
        var error = Assert.Throws<JinjaException>(() =>
            JinjaProgram.Parse(template).Render(Variables, maxSteps: 200_000, maxCharacters: 1_000_000)
        );
        Assert.StartsWith("chat template, line 1: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(said, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("(", ")", 100_000)]
    [InlineData("[", "]", 100_000)]
    [InlineData("not ", "", 100_000)]
    [InlineData("- ", "", 100_000)]
    [InlineData("1 if 1 else ", "", 50_000)]
    public void Brackets_and_words_stand_only_so_deep(string open, string close, int times)
    {
        var deep = string.Concat(Enumerable.Repeat(open, times)) + "1" + string.Concat(Enumerable.Repeat(close, times));
        Assert.Throws<JinjaException>(() => JinjaProgram.Parse($"{{{{ {deep} }}}}").Render(Variables));
    }

    [Theory]
    [InlineData(" + 1")]
    [InlineData(" or 0")]
    [InlineData("|string")]
    [InlineData(".a")]
    public void A_long_chain_is_computed_or_refused_but_does_not_end_the_process(string link)
    {
        var chain = $"{{{{ 1{string.Concat(Enumerable.Repeat(link, 100_000))} }}}}";
        var error = Record.Exception(() => JinjaProgram.Parse(chain).Render(Variables));
        Assert.True(error is null or JinjaException, $"{error}");
    }

    [Fact]
    public void Random_pieces_of_templates_give_a_text_or_an_error_of_their_own_kind()
    {
        string[] pieces =
        [
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "-",
            " ",
            "\n",
            "if ",
            "for m in messages",
            "endif",
            "endfor",
            "set x = ",
            "messages",
            "[0]",
            ".role",
            "|tojson",
            "|trim",
            "('a')",
            "'",
            "\"",
            "x",
            "1",
            "2.5",
            "==",
            "is defined",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "~",
            "macro f(a)",
            "endmacro",
            "raw",
            "endraw",
            "else",
            "elif ",
            "not ",
            "in ",
            "namespace(",
            "a=1",
            "\\",
            "é",
            "😀",
            "\ud800",
        ];
        var random = new Random(20261129);
        for (var i = 0; i < 4_000; i++)
        {
            var template = string.Concat(
                Enumerable.Range(0, random.Next(1, 25)).Select(_ => pieces[random.Next(pieces.Length)])
            );
            var error = Record.Exception(() =>
                JinjaProgram.Parse(template).Render(Variables, maxSteps: 10_000, maxCharacters: 100_000)
            );
            Assert.True(error is null or JinjaException, $"{template}\n{error}");
        }
    }
}
