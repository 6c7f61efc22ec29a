using System.Text.Json;
using GlmTune.Runs;
using GlmTune.Server;
using Microsoft.Playwright;
using static GlmTune.Browser.Tests.ScriptedServer;

namespace GlmTune.Browser.Tests;

/// <summary>Whatever a model, a data file or a folder's name says, it stays text.</summary>
public sealed class InjectionTests(Chromium chromium) : BrowserTests(chromium)
{
    private static readonly string[] Attacks =
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe src=//evil.example></iframe>",
        "<a href=javascript:alert(1)>x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](\u0001javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "[x](//evil.example)",
        "[x](/v1/models)",
        "[x]( https://ok.example \"onmouseover=alert(1)\")",
        "![x](https://evil.example/pixel.png)",
        "![x](javascript:alert(1))",
        "<javascript:alert(1)>",
        "<https://ok.example\"onclick=alert(1)>",
        "[a]: javascript:alert(1)\n[a]",
        "```html\n<script>alert(1)</script>\n```",
        "```\"><script>alert(1)</script>\nx\n```",
        "|a|b|\n|-|-|\n|<script>alert(1)</script>|[x](javascript:alert(1))|",
        "- [ ] <img src=x onerror=alert(1)>",
        "# <script>alert(1)</script>",
        "> <style>*{display:none}</style>",
        "`<script>alert(1)</script>`",
        "**<b onclick=alert(1)>**",
        "[<img src=x onerror=alert(1)>](https://ok.example)",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "https://ok.example/<script>alert(1)</script>",
        "<!--<img src=--><script>alert(1)//-->",
        "]]><script>alert(1)</script>",
        "{{constructor.constructor('alert(1)')()}}",
        "${alert(1)}",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    ];

    // What may be there, and where a link may lead.
    private const string Check = """
        (root) => {
          const tags = new Set("P BR HR H3 H4 H5 H6 STRONG EM DEL CODE PRE A UL OL LI INPUT BLOCKQUOTE TABLE THEAD TBODY TR TH TD DIV SPAN BUTTON svg path".split(" "));
          const attributes = new Set("class href target rel referrerpolicy start type tabindex role scope aria-label aria-hidden title viewBox focusable d".split(" "));
          const found = [];
          for (const node of root.querySelectorAll("*")) {
            if (!tags.has(node.nodeName)) found.push(node.nodeName);
            for (const attribute of node.attributes) if (!attributes.has(attribute.name) && !(node.nodeName === "INPUT" && ["disabled", "checked"].includes(attribute.name))) found.push(`${node.nodeName} ${attribute.name}=${attribute.value}`);
            if (node.nodeName === "A" && !/^(https?|mailto):$/.test(node.protocol)) found.push(node.href);
            if (node.nodeName === "INPUT" && node.type !== "checkbox") found.push(node.type);
          }
          return found;
        }
        """;

    [Fact]
    public async Task Answers_with_scripts_and_tricks_stay_text()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [.. Attacks.Select(attack => Say(attack + "\n\n")), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("<img src=x onerror=alert(1)>");
        Assert.Empty(await tab.Page.Locator(".markdown").EvaluateAsync<string[]>(Check));
        await Assertions.Expect(tab.Page.Locator(".markdown")).ToContainTextAsync("<script>alert(1)</script>");
        await Assertions.Expect(tab.Page.Locator(".bubble")).ToHaveTextAsync("<img src=x onerror=alert(1)>");
        Assert.Equal(
            0,
            await tab.Page.Locator(".markdown a[href*='javascript' i], .markdown a[href*='data:']").CountAsync()
        );
        Assert.Equal(
            "https://evil.example/pixel.png",
            await tab.Page.Locator(".markdown a[href*='pixel']").GetAttributeAsync("href")
        );
    }

    [Fact]
    public async Task Any_mixture_of_tricks_gives_only_harmless_elements_and_all_of_its_letters()
    {
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        string[] tokens =
        [
            .. Attacks,
            "*",
            "**",
            "_",
            "~~",
            "`",
            "```",
            "\n",
            "\n\n",
            "\n- ",
            "\n1. ",
            "\n> ",
            "\n# ",
            "|",
            "\n|-|-|\n",
            "[",
            "](",
            ")",
            "<",
            ">",
            "\\",
            "!",
            "    ",
            "a",
            "字",
            "https://",
            "javascript:",
            "\"",
            "\0",
        ];
        var random = new Random(7);
        var texts = Enumerable
            .Range(0, 1500)
            .Select(_ =>
                string.Concat(Enumerable.Range(0, random.Next(1, 14)).Select(_ => tokens[random.Next(tokens.Length)]))
            )
            .ToArray();
        var found = await tab.Page.EvaluateAsync<string[]>(
            $$"""
            async (texts) => {
              const { renderMarkdown } = await import("/assets/markdown.js");
              const check = {{Check}};
              const found = [];
              const growing = document.createElement("div");
              for (const text of texts) {
                const root = document.createElement("div");
                renderMarkdown(root, text);
                found.push(...check(root).map((what) => `${what} from ${JSON.stringify(text)}`));
                // A text that comes piece by piece ends as the same.
                renderMarkdown(growing, text.slice(0, text.length / 2));
                renderMarkdown(growing, text);
                if (!growing.isEqualNode(root)) found.push(`differs when it grows: ${JSON.stringify(text)}`);
                const letters = (words) => (words.match(/[a字]/g) ?? []).length;
                if (letters(root.textContent) > letters(text)) found.push(`letters were added: ${JSON.stringify(text)}`);
              }
              return found.slice(0, 5);
            }
            """,
            texts
        );
        Assert.Empty(found);
    }

    [Fact]
    public async Task Runs_with_hostile_names_notes_and_answers_are_shown_as_text()
    {
        var folder = Directory.CreateTempSubdirectory("glmtune-board-").FullName;
        try
        {
            using (var log = RunLog.Open(Path.Combine(folder, "<img src=x onerror=alert(1)>"), 0, 2))
            {
                log.Step(1, [KeyValuePair.Create("loss", 2.0), KeyValuePair.Create("eval_<svg onload=alert(1)>", 1.0)]);
                log.Note(Attacks[0]);
                log.Answers(1, [new RunAnswer(1, Attacks[1], Attacks[2], Attacks[3])]);
                log.End(RunState.Failed, Attacks[4]);
            }

            await using var server = await ScriptedServer.StartAsync(new ServerOptions { RunFolders = [folder] });
            await using var tab = await OpenAsync(server.Address + "/runs");
            await Assertions.Expect(tab.Page.Locator(".notes")).ToContainTextAsync(Attacks[0]);
            await Assertions.Expect(tab.Page.Locator(".answers td")).ToHaveTextAsync(Attacks[2]);
            await Assertions.Expect(tab.Page.Locator("h1")).ToHaveTextAsync("<img src=x onerror=alert(1)>");
            Assert.Equal(0, await tab.Page.Locator("#content :is(script, img, iframe, a)").CountAsync());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Pages_come_with_a_policy_that_allows_nothing_inline_and_nothing_from_elsewhere()
    {
        await using var server = await ScriptedServer.StartAsync();
        using var client = new HttpClient();
        foreach (var path in (string[])["/", "/runs", "/assets/chat.js"])
        {
            var response = await client.GetAsync(new Uri(server.Address + path));
            var policy = string.Join("; ", response.Headers.GetValues("Content-Security-Policy"));
            Assert.Contains("default-src 'none'", policy, StringComparison.Ordinal);
            Assert.Contains("require-trusted-types-for 'script'", policy, StringComparison.Ordinal);
            Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
            Assert.DoesNotContain("http", policy, StringComparison.Ordinal);
            Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());
        }

        foreach (
            var path in (string[])
                [
                    "/assets/chat.html",
                    "/assets/..%2Fchat.js",
                    "/assets/none.js",
                    "/api/runs/..%2F..%2Fetc%2Fpasswd/log",
                    "/api/runs/aaaaaaaaaaaa",
                ]
        )
        {
            Assert.Equal(
                System.Net.HttpStatusCode.NotFound,
                (await client.GetAsync(new Uri(server.Address + path))).StatusCode
            );
        }
    }
}
