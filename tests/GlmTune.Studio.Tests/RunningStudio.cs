using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Hub.Caches;
using Microsoft.AspNetCore.Builder;

namespace GlmTune.Studio.Tests;

/// <summary>A studio on a free port, in a folder of its own with the repository's small model and its data.</summary>
internal sealed class RunningStudio : IAsyncDisposable
{
    public const string Key = "key-of-the-studio";

    private readonly bool ownsFolder;

    private RunningStudio(string folder, bool ownsFolder, WebApplication app)
    {
        (Folder, this.ownsFolder, App) = (folder, ownsFolder, app);
        Http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()), Timeout = TimeSpan.FromMinutes(5) };
        Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Key);
    }

    public string Folder { get; }

    public WebApplication App { get; }

    public HttpClient Http { get; }

    public static StudioOptions OptionsFor(string folder) =>
        new()
        {
            WorkingFolder = folder,
            Roots = [folder],
            Output = Path.Combine(folder, "output"),
            Program = arguments =>
                ["dotnet", "exec", Path.Combine(AppContext.BaseDirectory, "glmtune.dll"), .. arguments],
            Chinese = text => $"译：{text}",
            Server = new Server.ServerOptions { Port = 0, ApiKeys = [Key] },
        };

    /// <summary>Starts a studio, in a new folder or in one that an earlier studio has used.</summary>
    public static async Task<RunningStudio> StartAsync(string? folder = null)
    {
        var isNew = folder is null;
        folder ??= MakeFolder();
        var app = StudioServer.Create(OptionsFor(folder), () => ModelCaches.FromEnvironment(_ => null));
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new RunningStudio(folder, isNew, app);
    }

    /// <summary>Sends JSON and reads the reply, which must have a status.</summary>
    public async Task<JsonNode> PostAsync(string path, object body, HttpStatusCode status = HttpStatusCode.OK)
    {
        using var content = new StringContent(JsonSerializer.Serialize(body), Encoding.UTF8, "application/json");
        using var response = await Http.PostAsync(path, content, TestContext.Current.CancellationToken);
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(response.StatusCode == status, $"{path}: {response.StatusCode}: {text}");
        return JsonNode.Parse(text)!;
    }

    public async Task<JsonNode> GetAsync(string path) =>
        JsonNode.Parse(await Http.GetStringAsync(path, TestContext.Current.CancellationToken))!;

    /// <summary>Asks for a job until it is as wished.</summary>
    public async Task<JsonNode> JobAsync(string name, Func<JsonNode, bool> isAsWished)
    {
        while (true)
        {
            var shown = await GetAsync($"/api/studio/jobs/{name}");
            if (isAsWished(shown["job"]!))
            {
                return shown;
            }

            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Ends the studio; jobs and files stay.</summary>
    public async Task EndAsync()
    {
        Http.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        // A test that failed must not leave a process behind.
        var own = Path.Combine(Folder, "output", ".studio");
        var jobs = ((string[])[own, Path.Combine(own, "jobs")]).SelectMany(folder =>
            new Jobs.JobList(folder, arguments => arguments).List()
        );
        foreach (var job in jobs.Where(job => !job.IsOver))
        {
            try
            {
                using var process = System.Diagnostics.Process.GetProcessById(job.Record!.Process!.Pid);
                process.Kill();
                await process.WaitForExitAsync();
            }
            catch (ArgumentException)
            {
                // It has ended meanwhile.
            }
        }

        await EndAsync();
        if (ownsFolder)
        {
            Directory.Delete(Folder, recursive: true);
        }
    }

    private static string MakeFolder()
    {
        var folder = Directory.CreateTempSubdirectory("glmtune-studio-").FullName;
        var root = Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));
        foreach (var part in (string[])["models/glm-nano", "data/ads"])
        {
            Directory.CreateDirectory(Path.Combine(folder, part));
            foreach (var file in Directory.EnumerateFiles(Path.Combine(root, part)))
            {
                File.Copy(file, Path.Combine(folder, part, Path.GetFileName(file)));
            }
        }

        return folder;
    }
}
