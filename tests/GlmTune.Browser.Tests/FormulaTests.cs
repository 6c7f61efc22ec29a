using GlmTune.Server;
using Microsoft.Playwright;
using static GlmTune.Browser.Tests.ScriptedServer;

namespace GlmTune.Browser.Tests;

/// <summary>Formulas, colours of code, and a conversation that outgrows its context.</summary>
public sealed class FormulaTests(Chromium chromium) : BrowserTests(chromium)
{
    private const string Formulas = """
        Energy is $E = mc^2$, and \(a^2 + b^2 = c^2\). It costs $5 and then $6. A half: $$\frac{1}{2}$$

        \[
        \int_0^1 x\,dx = \boxed{\frac{1}{2}}
        \]

        Wrong: $\frac{1$, and `$not$` in code.

        ```python
        def area(r):
            return 3.14 * r ** 2  # <b>no HTML</b>
        ```
        """;

    [Fact]
    public async Task Formulas_are_drawn_code_is_coloured_and_prices_stay_text()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [Say(Formulas), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("x");
        var answer = tab.Page.Locator(".reply .markdown");
        await Assertions.Expect(answer.Locator("math")).ToHaveCountAsync(4);
        await Assertions.Expect(answer.Locator("math[display=block]")).ToHaveCountAsync(2);
        await Assertions.Expect(answer.Locator("math mfrac")).ToHaveCountAsync(2);
        await Assertions.Expect(answer).ToContainTextAsync("It costs $5 and then $6.");
        await Assertions.Expect(answer.Locator(".math.plain")).ToHaveTextAsync(@"$\frac{1$");
        await Assertions.Expect(answer.Locator(".hl-keyword").First).ToHaveTextAsync("def");
        await Assertions.Expect(answer.Locator(".hl-comment")).ToHaveTextAsync("# <b>no HTML</b>");
        await tab.ShootAsync("chat-formulas");
        await tab.AccessibleAsync();
    }

    [Theory]
    [InlineData(@"$\href{javascript:alert(1)}{x}$")]
    [InlineData(@"$\includegraphics{http://example.org/a.png}$")]
    [InlineData(@"$\htmlStyle{color:red}{x}$")]
    [InlineData(@"$\def\a{\a\a}\a$")]
    [InlineData(@"$\rule{99999em}{99999em}$")]
    public async Task A_formula_loads_nothing_leads_nowhere_and_ends(string formula)
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [Say($"{formula} and $y^2$"), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("x");
        await Assertions.Expect(tab.Page.Locator(".reply math msup")).ToHaveCountAsync(1);
        await Assertions.Expect(tab.Page.Locator(".markdown a, .markdown img, .markdown [href]")).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_full_conversation_offers_to_drop_its_oldest_messages_and_to_bring_them_back()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = request =>
            Messages(request).Count() > 3
                ? throw ApiException.Wrong("messages", "The prompt has 3000 tokens.", "context_length_exceeded")
                : [Say($"heard {LastMessage(request)}"), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        tab.Expected.Add("400");
        await tab.AskAsync("first");
        await tab.AskAsync("second");
        await tab.AskAsync("third");
        await Assertions.Expect(tab.Page.Locator(".remark.error")).ToContainTextAsync("3000 tokens");
        await tab.Button("Drop the oldest messages").ClickAsync();
        await Assertions.Expect(tab.Page.Locator(".reply").Last).ToContainTextAsync("heard third");
        Assert.Equal(["user: second", "assistant: heard second", "user: third"], Messages(server.Requests.Last()));
        await tab.Button("Undo").ClickAsync();
        await Assertions.Expect(tab.Page.Locator(".bubble").First).ToHaveTextAsync("first");
    }
}
