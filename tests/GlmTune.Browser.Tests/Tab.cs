using System.Collections.Concurrent;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;

namespace GlmTune.Browser.Tests;

/// <summary>A page of ours in the browser. It complains of errors that it logs, and of requests to any other
/// server.</summary>
internal sealed class Tab : IAsyncDisposable
{
    private readonly IBrowserContext context;
    private readonly ConcurrentQueue<string> heard = [];
    private readonly List<string> complaints;

    private Tab(IBrowserContext context, IPage page, List<string> complaints) =>
        (this.context, Page, this.complaints) = (context, page, complaints);

    public IPage Page { get; }

    /// <summary>Errors that are part of the test, by a part of their text.</summary>
    public List<string> Expected { get; } = [];

    public static async Task<Tab> OpenAsync(IBrowserContext context, string address, List<string> complaints)
    {
        var tab = new Tab(context, await context.NewPageAsync(), complaints);
        tab.Page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
            {
                tab.heard.Enqueue($"{message.Type}: {message.Text}");
            }
        };
        tab.Page.PageError += (_, error) => tab.heard.Enqueue($"exception: {error}");
        tab.Page.Dialog += async (_, dialog) =>
        {
            tab.heard.Enqueue($"dialog: {dialog.Message}");
            await dialog.DismissAsync();
        };
        var origin = new Uri(address).GetLeftPart(UriPartial.Authority);
        tab.Page.Request += (_, request) =>
        {
            if (
                !request.Url.StartsWith(origin, StringComparison.Ordinal)
                && !request.Url.StartsWith("blob:", StringComparison.Ordinal)
            )
            {
                tab.heard.Enqueue($"request: {request.Url}");
            }
        };
        await tab.Page.GotoAsync(address);
        return tab;
    }

    public ILocator Role(AriaRole role, string name) =>
        Page.GetByRole(role, new PageGetByRoleOptions { Name = name, Exact = true });

    public ILocator Button(string name) => Role(AriaRole.Button, name);

    public ILocator Message => Page.Locator("#message");

    /// <summary>Writes a message and sends it.</summary>
    public async Task SendAsync(string text)
    {
        await Message.FillAsync(text);
        await Message.PressAsync("Enter");
    }

    /// <summary>Sends a message and waits for the whole answer.</summary>
    public async Task AskAsync(string text)
    {
        await SendAsync(text);
        await AnsweredAsync();
    }

    /// <summary>Waits until nothing is being written.</summary>
    public async Task AnsweredAsync()
    {
        await Assertions.Expect(Page.Locator("#messages")).ToHaveAttributeAsync("aria-busy", "false");
        await Assertions.Expect(Page.Locator(".reply .message-actions").Last).ToBeVisibleAsync();
    }

    /// <summary>Keeps a picture, to be looked at by people.</summary>
    public Task ShootAsync(string name) => ShootAsync(name, isWhole: false);

    /// <summary>The same of all that the page scrolls through.</summary>
    public Task ShootWholeAsync(string name) => ShootAsync(name, isWhole: true);

    private async Task ShootAsync(string name, bool isWhole)
    {
        var folder = Path.Combine(
            Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", "..")),
            "TestResults",
            "screenshots"
        );
        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, name + ".png");
        if (!isWhole)
        {
            await Page.ScreenshotAsync(new PageScreenshotOptions { Path = path });
            return;
        }

        // The page scrolls inside its main part.
        var size = Page.ViewportSize!;
        var height = await Page.EvaluateAsync<int>("document.querySelector('main').scrollHeight");
        await Page.SetViewportSizeAsync(size.Width, Math.Max(size.Height, height));
        await Page.ScreenshotAsync(new PageScreenshotOptions { Path = path });
        await Page.SetViewportSizeAsync(size.Width, size.Height);
    }

    /// <summary>Fails where axe-core finds something that keeps people with disabilities from using the page.</summary>
    public async Task AccessibleAsync()
    {
        var found = await Page.RunAxe();
        Assert.True(
            found.Violations.Length == 0,
            string.Join(
                '\n',
                found.Violations.Select(violation =>
                    $"{violation.Id}: {violation.Help}\n"
                    + string.Join('\n', violation.Nodes.Take(4).Select(node => $"    {node.Html}"))
                )
            )
        );
    }

    public async ValueTask DisposeAsync()
    {
        await context.DisposeAsync();
        complaints.AddRange(heard.Where(complaint => !Expected.Any(complaint.Contains)));
    }
}
