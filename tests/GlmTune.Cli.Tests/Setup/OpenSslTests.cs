namespace GlmTune.Cli.Setup;

public sealed class OpenSslTests
{
    [Theory]
    [InlineData("libssl.so.3")]
    [InlineData("libssl.so.1.1")]
    public void Either_release_of_OpenSSL_will_do(string present) =>
        Assert.Null(OpenSsl.Missing(needed: true, name => name == present));

    [Fact]
    public void A_machine_without_OpenSSL_is_told_which_package_to_install()
    {
        Assert.Contains("libssl3", OpenSsl.Missing(needed: true, _ => false), StringComparison.Ordinal);
        Assert.Null(OpenSsl.Missing(needed: false, _ => false));
    }
}
