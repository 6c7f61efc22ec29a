using Microsoft.Playwright;

namespace GlmTune.Browser.Tests;

/// <summary>Tests that open pages. After each, what the pages complained of fails it too, beside what it failed of
/// itself.</summary>
/// <param name="chromium">The browser.</param>
public abstract class BrowserTests(Chromium chromium) : IDisposable
{
    private readonly List<string> complaints = [];

    /// <inheritdoc cref="Chromium.OpenAsync"/>
    internal async Task<Tab> OpenAsync(string address, BrowserNewContextOptions? options = null) =>
        await chromium.OpenAsync(address, complaints, options);

    public virtual void Dispose()
    {
        GC.SuppressFinalize(this);
        Assert.Empty(complaints);
    }
}
