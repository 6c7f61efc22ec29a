namespace GlmTune.Files.Tests;

public class HomePathTests
{
    [Theory]
    [InlineData("~", "/homes/me")]
    [InlineData("~/", "/homes/me")]
    [InlineData("~/runs/a b", "/homes/me/runs/a b")]
    [InlineData("~//runs", "/homes/me/runs")]
    [InlineData("runs/~/x", "runs/~/x")]
    [InlineData("~other/x", "~other/x")]
    [InlineData("", "")]
    public void A_tilde_at_the_beginning_is_the_home_folder(string path, string expected) =>
        Assert.Equal(expected, HomePath.Expand(path, "/homes/me"));

    [Fact]
    public void Home_is_what_HOME_names_first() => Assert.Equal("/h", HomePath.HomeOf(_ => "/h"));
}
