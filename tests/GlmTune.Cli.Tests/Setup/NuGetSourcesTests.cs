using NuGet.Configuration;

namespace GlmTune.Cli.Setup;

public sealed class NuGetSourcesTests : IDisposable
{
    private const string Sources =
        "<packageSources><clear /><add key='one' value='http://one/index.json' allowInsecureConnections='true' />"
        + "<add key='two' value='http://two/index.json' allowInsecureConnections='true' /></packageSources>";

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Enabled_sources_come_in_their_order() =>
        Assert.Equal(
            ["http://one/index.json", "http://two/index.json"],
            NuGetSources.Of(Configured(Sources)).Order(StringComparer.Ordinal)
        );

    [Fact]
    public void Disabled_sources_are_left_out() =>
        Assert.Equal(
            ["http://two/index.json"],
            NuGetSources.Of(
                Configured(Sources + "<disabledPackageSources><add key='one' value='true' /></disabledPackageSources>")
            )
        );

    [Fact]
    public void Without_any_source_the_option_is_named() =>
        Assert.Contains(
            "--source",
            Assert.Throws<InvalidDataException>(() => NuGetSources.Of(Configured("<packageSources />"))).Message,
            StringComparison.Ordinal
        );

    private ISettings Configured(string content)
    {
        File.WriteAllText(folder.At("NuGet.Config"), $"<configuration>{content}</configuration>");
        return Settings.LoadSpecificSettings(folder.Path, "NuGet.Config");
    }
}
