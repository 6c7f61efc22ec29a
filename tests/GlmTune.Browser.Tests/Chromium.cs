using Microsoft.Playwright;

[assembly: AssemblyFixture(typeof(GlmTune.Browser.Tests.Chromium))]
[assembly: CollectionBehavior(CollectionBehavior.CollectionPerAssembly)]

namespace GlmTune.Browser.Tests;

/// <summary>One browser for all tests: the machine's Chromium, without a window.</summary>
public sealed class Chromium : IAsyncLifetime
{
    private static readonly string[] Places =
    [
        Environment.GetEnvironmentVariable("GLMTUNE_CHROMIUM") ?? "",
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
    ];
    private IPlaywright? playwright;
    private IBrowser? browser;

    public async ValueTask InitializeAsync()
    {
        if (Places.FirstOrDefault(File.Exists) is not { } program)
        {
            return;
        }

        Assertions.SetDefaultExpectTimeout(15_000);
        playwright = await Playwright.CreateAsync();
        browser = await playwright.Chromium.LaunchAsync(
            new BrowserTypeLaunchOptions
            {
                ExecutablePath = program,
                Headless = true,
                Args =
                [
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                ],
            }
        );
    }

    /// <summary>A page in a profile of its own; skips the test where there is no browser.</summary>
    /// <param name="address">What it shows.</param>
    /// <param name="complaints">Gets what the page complained of, when it is closed.</param>
    /// <param name="options">Size, language, colours.</param>
    internal async Task<Tab> OpenAsync(string address, List<string> complaints, BrowserNewContextOptions? options)
    {
        Assert.SkipWhen(
            browser is null,
            "there is no Chromium; install the package chromium, or name the program in GLMTUNE_CHROMIUM"
        );
        options ??= new BrowserNewContextOptions();
        options.Locale ??= "en-US";
        options.ViewportSize ??= new ViewportSize { Width = 1280, Height = 820 };
        options.ReducedMotion ??= ReducedMotion.Reduce;
        options.Permissions = ["clipboard-read", "clipboard-write"];
        var context = await browser.NewContextAsync(options);
        context.SetDefaultTimeout(15_000);
        return await Tab.OpenAsync(context, address, complaints);
    }

    public async ValueTask DisposeAsync()
    {
        if (browser is not null)
        {
            await browser.DisposeAsync();
        }

        playwright?.Dispose();
    }
}
