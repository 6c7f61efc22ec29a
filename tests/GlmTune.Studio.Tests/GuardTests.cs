using System.Net;
using System.Net.Http.Headers;
using System.Text;

namespace GlmTune.Studio.Tests;

public sealed class GuardTests
{
    private static readonly (HttpMethod Method, string Path)[] Endpoints =
    [
        (HttpMethod.Get, "/api/studio"),
        (HttpMethod.Get, "/api/studio/form"),
        (HttpMethod.Post, "/api/studio/recipe"),
        (HttpMethod.Post, "/api/studio/check"),
        (HttpMethod.Post, "/api/studio/plan"),
        (HttpMethod.Get, "/api/studio/jobs"),
        (HttpMethod.Post, "/api/studio/jobs"),
        (HttpMethod.Post, "/api/studio/jobs/run/stop"),
        (HttpMethod.Post, "/api/studio/jobs/run/resume"),
        (HttpMethod.Post, "/api/studio/chat"),
        (HttpMethod.Post, "/api/studio/chat/stop"),
        (HttpMethod.Get, "/api/runs"),
        (HttpMethod.Post, "/v1/chat/completions"),
    ];

    [Fact]
    public async Task Nothing_but_the_pages_is_given_without_the_key()
    {
        await using var studio = await RunningStudio.StartAsync();
        studio.Http.DefaultRequestHeaders.Authorization = null;
        foreach (var (method, path) in Endpoints)
        {
            Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync(studio, method, path));
        }

        foreach (var page in (string[])["/", "/chat", "/runs"])
        {
            Assert.Equal(HttpStatusCode.OK, await StatusAsync(studio, HttpMethod.Get, page));
        }
    }

    [Fact]
    public async Task Pages_of_other_sites_start_nothing_even_with_the_key()
    {
        await using var studio = await RunningStudio.StartAsync();
        studio.Http.DefaultRequestHeaders.Add("Origin", "https://example.org");
        foreach (var (method, path) in Endpoints)
        {
            Assert.Equal(HttpStatusCode.Forbidden, await StatusAsync(studio, method, path));
        }
    }

    [Fact]
    public async Task A_form_of_another_site_cannot_send_what_is_not_declared_as_JSON()
    {
        await using var studio = await RunningStudio.StartAsync();
        using var content = new StringContent("{}", Encoding.UTF8, "text/plain");
        using var response = await studio.Http.PostAsync(
            "/api/studio/jobs",
            content,
            TestContext.Current.CancellationToken
        );
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public void A_studio_without_a_key_is_not_made()
    {
        using var folder = new TemporaryFolder();
        var options = RunningStudio.OptionsFor(folder.Path);
        Assert.Throws<InvalidDataException>(() =>
            StudioServer.Create(options with { Server = options.Server with { ApiKeys = [] } })
        );
    }

    [Fact]
    public void The_key_that_it_makes_stays_and_is_the_users_alone()
    {
        using var folder = new TemporaryFolder();
        var own = Path.Combine(folder.Path, ".studio");
        var key = StudioKey.ReadOrMake(own);
        Assert.True(key.Length >= 32);
        Assert.Equal(key, StudioKey.ReadOrMake(own));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(
                UnixFileMode.UserRead | UnixFileMode.UserWrite,
                File.GetUnixFileMode(Path.Combine(own, "key"))
            );
            Assert.Equal(
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute,
                File.GetUnixFileMode(own)
            );
        }
    }

    [Fact]
    public async Task Without_a_model_the_chat_page_is_told_so()
    {
        await using var studio = await RunningStudio.StartAsync();
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await StatusAsync(studio, HttpMethod.Get, "/v1/models"));
    }

    private static async Task<HttpStatusCode> StatusAsync(RunningStudio studio, HttpMethod method, string path)
    {
        using var request = new HttpRequestMessage(method, path);
        if (method == HttpMethod.Post)
        {
            request.Content = new StringContent("{}", Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
        }

        using var response = await studio.Http.SendAsync(request, TestContext.Current.CancellationToken);
        return response.StatusCode;
    }
}
