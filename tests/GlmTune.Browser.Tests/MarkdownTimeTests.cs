using System.Text;

namespace GlmTune.Browser.Tests;

/// <summary>Text that a model repeats without end is shown in time linear in its length.</summary>
public sealed class MarkdownTimeTests(Chromium chromium) : BrowserTests(chromium)
{
    // One text takes milliseconds; at this length, any part with quadratic time takes many minutes.
    private const int Length = 100_000;

    private static readonly TimeSpan Never = TimeSpan.FromMinutes(4);

    private static readonly string[] Repeated =
    [
        "word ",
        "*",
        "*a ",
        "*a",
        "**a ",
        "***a ",
        "_a ",
        "_a_a ",
        "~~a ",
        "a**b* ",
        "`",
        "``a` ",
        "[",
        "[a](",
        "![",
        "[a](b \"",
        "> ",
        "- ",
        "- a\n\n",
        "|",
        "|`",
        "-|",
        "<https://a",
        "https://a.b ",
        "h",
        "\\*",
        "*_",
        "*a **b ***c _d ~~e `f [g](h ",
        "a|b\n-|-\n",
    ];

    [Fact]
    public async Task Every_shape_of_endless_text_is_rendered()
    {
        List<string> texts = [.. Repeated.Select(each => string.Concat(Enumerable.Repeat(each, Length / each.Length)))];
        var blanks = new string(' ', Length);
        texts.AddRange([
            "# a" + blanks + "b",
            "a" + blanks + "b",
            "a|b\n-" + blanks + "x",
            "- a\n" + new string('\n', Length) + "- b",
        ]);
        texts.Add(string.Concat(Enumerable.Repeat("https://a" + new string('.', 1900) + "b ", Length / 1911)));
        texts.Add(new string('[', Length / 2) + string.Concat(Enumerable.Repeat("](a)", Length / 8)));
        var ticks = new StringBuilder();
        for (var run = 1; ticks.Length < Length; run++)
        {
            ticks.Append('`', run).Append("a ");
        }

        texts.Add(ticks.ToString());
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        await tab
            .Page.EvaluateAsync(
                """
                async (texts) => {
                  const { renderMarkdown } = await import("/assets/markdown.js");
                  for (const text of texts) renderMarkdown(document.createElement("div"), text);
                }
                """,
                texts
            )
            .WaitAsync(Never, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Backticks_that_close_nothing_stay_text_and_those_that_do_make_code()
    {
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        var shown = await tab.Page.EvaluateAsync<string[]>(
            """
            async (texts) => {
              const { renderMarkdown } = await import("/assets/markdown.js");
              return texts.map((text) => {
                const root = document.createElement("div");
                renderMarkdown(root, text);
                return root.innerHTML;
              });
            }
            """,
            (string[])["``a`", "`a``b`", "``a`b`` `c`", "\\`a`b`", "*a `b* c`*", "# a #  ", "#b", "# c   d##"]
        );
        Assert.Equal(
            [
                "<p>``a`</p>",
                "<p><code>a``b</code></p>",
                "<p><code>a`b</code> <code>c</code></p>",
                "<p>`a<code>b</code></p>",
                "<p><em>a `b</em> c`*</p>",
                "<h3>a</h3>",
                "<p>#b</p>",
                "<h3>c   d</h3>",
            ],
            shown
        );
    }
}
