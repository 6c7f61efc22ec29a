namespace GlmTune.Hub.Sites;

public sealed class SiteAccessTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly Dictionary<string, string> variables;

    public SiteAccessTests() => variables = new() { ["HOME"] = folder.Path };

    public void Dispose() => folder.Dispose();

    [Fact]
    public void The_token_comes_from_the_variable_then_from_the_file_of_the_python_tools()
    {
        Assert.Null(Read().Token);
        folder.Write(".cache/huggingface/token", "hf_home\n");
        Assert.Equal("hf_home", Read().Token);
        variables["HF_HOME"] = folder.At("hf");
        Assert.Null(Read().Token);
        folder.Write("hf/token", " hf_file ");
        Assert.Equal("hf_file", Read().Token);
        variables["HF_TOKEN_PATH"] = folder.Write("elsewhere", "hf_path");
        Assert.Equal("hf_path", Read().Token);
        variables["HF_TOKEN"] = "hf_variable";
        Assert.Equal("hf_variable", Read().Token);
        variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1";
        Assert.Null(Read().Token);
    }

    [Theory]
    [InlineData("hf_a\r\nX-Header: 1"), InlineData("hf a"), InlineData("hf_é")]
    public void What_is_not_a_token_is_refused_without_showing_it(string token)
    {
        variables["HF_TOKEN"] = token;
        var error = Assert.Throws<InvalidDataException>(Read);
        Assert.DoesNotContain(token[..3], error.Message, StringComparison.Ordinal);
        Assert.Contains("HF_TOKEN", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_description_has_no_token()
    {
        variables["HF_TOKEN"] = "hf_secret";
        Assert.DoesNotContain("hf_secret", $"{Read()}", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("https://hub.example", "https://hub.example/x", true)]
    [InlineData("https://hub.example", "https://HUB.example:443/x", true)]
    [InlineData("https://hub.example", "https://cdn.hub.example/x", false)]
    [InlineData("https://hub.example", "https://hub.example.org/x", false)]
    [InlineData("https://hub.example", "https://hub.example:8443/x", false)]
    [InlineData("https://hub.example", "http://hub.example/x", false)]
    [InlineData("http://hub.example", "http://hub.example/x", false)] // not encrypted
    [InlineData("http://127.0.0.1:9", "http://127.0.0.1:9/x", true)]
    public void The_token_is_for_the_endpoint_alone(string endpoint, string address, bool may)
    {
        variables["HF_ENDPOINT"] = endpoint;
        variables["HF_TOKEN"] = "hf_secret";
        Assert.Equal(may, Read().MaySendTokenTo(new Uri(address)));
        variables.Remove("HF_TOKEN");
        Assert.False(Read().MaySendTokenTo(new Uri(address)));
    }

    [Theory]
    [InlineData("hub.example"), InlineData("ftp://hub.example"), InlineData("https://user:word@hub.example")]
    [InlineData("https://hub.example/?x=1")]
    public void An_endpoint_is_an_address(string endpoint)
    {
        variables["HF_ENDPOINT"] = endpoint;
        Assert.StartsWith(
            "HF_ENDPOINT is ",
            Assert.Throws<InvalidDataException>(Read).Message,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [
        InlineData(null, false),
        InlineData("0", false),
        InlineData("off", false),
        InlineData("1", true),
        InlineData("Yes", true)
    ]
    public void Offline_is_what_the_python_tools_take_for_it(string? value, bool isOffline)
    {
        if (value is not null)
        {
            variables["HF_HUB_OFFLINE"] = value;
        }

        Assert.Equal(isOffline, Read().IsOffline);
    }

    private SiteAccess Read() => SiteAccess.FromEnvironment(ModelSite.HuggingFace, variables.GetValueOrDefault);
}
