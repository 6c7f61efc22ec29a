using System.Text;
using System.Text.Json;
using GlmTune.Hub.Caches;
using GlmTune.Hub.Downloading;
using GlmTune.Hub.Sites;
using Microsoft.AspNetCore.Http;

namespace GlmTune.Hub;

public sealed class ModelPullTests : IAsyncLifetime
{
    private const string Weights = "model.safetensors";
    private static readonly HubName Name = HubName.Parse("org/tiny");
    private readonly TemporaryFolder folder = new();
    private readonly InstantClock clock = new();
    private readonly Dictionary<string, string> variables = [];
    private FakeHub hub = null!;

    private string Cache => folder.At("hf", "hub");

    private string Snapshot => Path.Combine(Cache, "models--org--tiny", "snapshots", FakeHub.Commit);

    public async ValueTask InitializeAsync()
    {
        hub = await FakeHub.StartAsync();
        variables["HOME"] = folder.Path;
        variables["HF_HOME"] = folder.At("hf");
        variables["HF_ENDPOINT"] = hub.Address;
        variables["MODELSCOPE_DOMAIN"] = hub.Address;
    }

    public async ValueTask DisposeAsync()
    {
        await hub.DisposeAsync();
        folder.Dispose();
    }

    [Fact]
    public async Task The_cache_is_that_of_the_python_tools()
    {
        var pulled = await PullAsync();
        Assert.Equal(Snapshot, pulled.Folder);
        Assert.Equal(["config.json", Weights, "tokenizer.model"], Names(Snapshot));
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
        Assert.Equal(FakeHub.Commit, File.ReadAllText(Path.Combine(Cache, "models--org--tiny", "refs", "main")));
        Assert.Equal(
            $"../../blobs/{FakeHub.Sha256(hub.Files[Weights])}",
            new FileInfo(Path.Combine(Snapshot, Weights)).LinkTarget
        );
        Assert.Equal(
            $"../../blobs/{FakeHub.GitSha(hub.Files["config.json"])}",
            new FileInfo(Path.Combine(Snapshot, "config.json")).LinkTarget
        );
        Assert.Equal(Snapshot, ModelCaches.FromEnvironment(variables.GetValueOrDefault).Find(Name));
        Assert.Equal(hub.Files.Values.Sum(file => file.Length), pulled.Bytes);
        Assert.Equal(3, Directory.GetFiles(Path.Combine(Cache, "models--org--tiny", "blobs")).Length);
    }

    [Fact]
    public async Task What_is_here_is_not_downloaded_again()
    {
        await PullAsync();
        hub.Requests.Clear();
        var again = await PullAsync();
        Assert.Equal(0, again.Received);
        Assert.Single(hub.Requests); // the list
    }

    [Fact]
    public async Task Only_what_is_read_is_downloaded()
    {
        foreach (
            var name in (string[])
                ["modeling.py", "pytorch_model.bin", "README.md", "x/config.json", "model.fp16.safetensors"]
        )
        {
            hub.Files[name] = Encoding.UTF8.GetBytes(name);
        }

        await PullAsync();
        Assert.Equal(["config.json", Weights, "tokenizer.model"], Names(Snapshot));
        Assert.DoesNotContain(hub.Requests, request => request.Path.EndsWith(".py", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_index_decides_which_weights_are_downloaded()
    {
        hub.Files.Remove(Weights);
        hub.Files["a.safetensors"] = FakeHub.Bytes(10);
        hub.Files["b.safetensors"] = FakeHub.Bytes(20);
        hub.Files["other.safetensors"] = FakeHub.Bytes(30);
        hub.Files["model.safetensors.index.json"] = Encoding.UTF8.GetBytes(
            """{"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}"""
        );
        await PullAsync();
        Assert.DoesNotContain("other.safetensors", Names(Snapshot));
        Assert.Contains("b.safetensors", Names(Snapshot));
    }

    [Theory]
    [InlineData("""{"weight_map": {"x": "gone.safetensors"}}""", "gone.safetensors")]
    [InlineData("""{"weight_map": {"x": "../../x.safetensors"}}""", "does not have")]
    [InlineData("""{"weights": 1}""", "weight_map")]
    public async Task An_index_that_does_not_fit_is_refused_before_weights(string index, string says)
    {
        hub.Files["model.safetensors.index.json"] = Encoding.UTF8.GetBytes(index);
        await RefusedAsync(says);
        Assert.Empty(hub.RequestsFor(Weights));
    }

    [Fact]
    public async Task A_repository_of_pickles_is_refused_by_name()
    {
        hub.Files.Remove(Weights);
        hub.Files["pytorch_model-00001-of-00002.bin"] = [1];
        await RefusedAsync("pytorch_model-00001-of-00002.bin only. Pickles can run code");
        Assert.Single(hub.Requests);
    }

    [Theory]
    [InlineData("../../evil.safetensors"), InlineData("/etc/config.json"), InlineData("a/../../b.json")]
    [InlineData("..\\b.json"), InlineData(""), InlineData("a//b"), InlineData("x\u001b[2J")]
    public async Task Names_that_lead_out_of_the_repository_are_refused(string name)
    {
        hub.MoreEntries.Add(
            new
            {
                rfilename = name,
                size = 1,
                blobId = FakeHub.GitSha([1]),
            }
        );
        await RefusedAsync("not inside the repository");
        Assert.Single(hub.Requests);
        Assert.False(Directory.Exists(Cache));
    }

    [Fact]
    public async Task A_list_of_many_files_is_read_quickly_and_ignored_but_for_the_model()
    {
        hub.MoreEntries.AddRange(
            Enumerable
                .Range(0, 10_000)
                .Select(number => new
                {
                    rfilename = $"images/{number}.png",
                    size = 1,
                    blobId = FakeHub.GitSha([1]),
                })
        );
        Assert.Equal(3, (await PullAsync()).FileCount);
    }

    [Fact]
    public async Task Hashes_that_the_list_lacks_are_asked_for_one_by_one()
    {
        hub.ListsHashes = false;
        await PullAsync();
        Assert.Equal(3, hub.Requests.Count(request => request.Method == "HEAD"));
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Theory]
    [InlineData("not a commit"), InlineData("../../../../tmp/x")]
    public async Task A_list_without_a_commit_is_refused(string sha)
    {
        hub.Instead = async context =>
        {
            await context.Response.WriteAsync(JsonSerializer.Serialize(new { sha, siblings = Array.Empty<int>() }));
            return true;
        };
        await RefusedAsync("'sha'");
    }

    [Fact]
    public async Task A_transfer_that_breaks_off_goes_on_where_it_ended()
    {
        var breaks = 0;
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights) || Interlocked.Increment(ref breaks) > 1)
            {
                return false;
            }

            await FakeHub.BreakOffAsync(context, hub.Files[Weights], 2_000_000);
            return true;
        };
        await PullAsync();
        var requests = hub.RequestsFor(Weights).ToList();
        Assert.Equal(2, requests.Count);
        Assert.Equal("", requests[0].Range);
        Assert.StartsWith("bytes=", requests[1].Range, StringComparison.Ordinal);
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Fact]
    public async Task A_site_that_breaks_off_forever_is_given_up_and_what_came_is_kept()
    {
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights))
            {
                return false;
            }

            context.Abort();
            await Task.CompletedTask;
            return true;
        };
        var error = await Assert.ThrowsAsync<IOException>(() => PullAsync());
        Assert.Contains("What was downloaded is kept", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Snapshot));
        hub.Instead = _ => Task.FromResult(false);
        await PullAsync();
        Assert.Single(hub.RequestsFor("config.json")); // only in the first attempt
    }

    [Fact]
    public async Task A_begun_file_is_continued_by_the_next_command()
    {
        Begin(hub.Files[Weights][..1_000_000]);
        var pulled = await PullAsync();
        Assert.Equal("bytes=1000000-", Assert.Single(hub.RequestsFor(Weights)).Range);
        Assert.Equal(hub.Files.Values.Sum(file => file.Length) - 1_000_000, pulled.Received);
    }

    [Theory]
    [InlineData(1_000_000), InlineData(3_000_000), InlineData(3_000_001)]
    public async Task A_begun_file_of_another_version_is_downloaded_anew(int length)
    {
        Begin(new byte[length]);
        await PullAsync();
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Theory]
    [InlineData("bytes 0-2999999/3000000"), InlineData("bytes 1000001-2999999/3000000"), InlineData(null)]
    [InlineData("bytes 1000000-2999999/2999999")]
    public async Task A_wrong_range_is_not_taken_for_the_right_one(string? range)
    {
        Begin(hub.Files[Weights][..1_000_000]);
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights) || context.Request.Headers.Range.Count == 0)
            {
                return false;
            }

            context.Response.StatusCode = 206;
            if (range is not null)
            {
                context.Response.Headers.ContentRange = range;
            }

            await context.Response.Body.WriteAsync(hub.Files[Weights].AsMemory(0, 2_000_000));
            return true;
        };
        await PullAsync();
        Assert.Equal(["bytes=1000000-", ""], hub.RequestsFor(Weights).Select(request => request.Range));
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Fact]
    public async Task A_server_that_refuses_ranges_sends_the_whole_file()
    {
        Begin(hub.Files[Weights][..1_000_000]);
        hub.Instead = context =>
        {
            if (Asks(context, Weights) && context.Request.Headers.Range.Count > 0)
            {
                context.Response.StatusCode = 416;
                return Task.FromResult(true);
            }

            return Task.FromResult(false);
        };
        await PullAsync();
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Fact]
    public async Task A_server_without_ranges_answers_with_the_whole_file()
    {
        Begin(hub.Files[Weights][..1_000_000]);
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights))
            {
                return false;
            }

            context.Request.Headers.Remove("Range");
            await FakeHub.SendAsync(context, hub.Files[Weights]);
            return true;
        };
        await PullAsync();
        Assert.Single(hub.RequestsFor(Weights));
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Fact]
    public async Task Too_many_requests_are_repeated_after_the_time_that_the_server_names()
    {
        var answers = 0;
        hub.Instead = context =>
        {
            if (!Asks(context, Weights) || Interlocked.Increment(ref answers) > 1)
            {
                return Task.FromResult(false);
            }

            context.Response.StatusCode = 429;
            context.Response.Headers.RetryAfter = "77";
            return Task.FromResult(true);
        };
        await PullAsync();
        Assert.Contains(TimeSpan.FromSeconds(77), clock.Waits);
        Assert.Equal(2, hub.RequestsFor(Weights).Count());
    }

    [Fact]
    public async Task A_wait_of_an_hour_is_left_to_the_user()
    {
        hub.Instead = context =>
        {
            context.Response.StatusCode = 429;
            context.Response.Headers.RetryAfter = "3600";
            return Task.FromResult(true);
        };
        var error = await Assert.ThrowsAsync<IOException>(() => PullAsync());
        Assert.Contains("asks to wait 3600 s", error.Message, StringComparison.Ordinal);
        Assert.Single(hub.Requests);
    }

    [Theory]
    [InlineData(500), InlineData(503), InlineData(429)]
    public async Task A_failing_server_is_asked_again_and_then_reported(int status)
    {
        hub.Instead = context =>
        {
            context.Response.StatusCode = status;
            return Task.FromResult(true);
        };
        var error = await Assert.ThrowsAsync<IOException>(() => PullAsync());
        Assert.Contains($"answers {status}", error.Message, StringComparison.Ordinal);
        Assert.Equal(4, hub.Requests.Count);
    }

    [Theory]
    [InlineData(401, null, null, "needs a token: set HF_TOKEN")]
    [InlineData(401, null, "hf_secret", "does not accept the token (401)")]
    [InlineData(401, "GatedRepo", null, "is gated. Accept its terms at")]
    [InlineData(403, "GatedRepo", "hf_secret", "your token has no access")]
    [InlineData(403, null, "hf_secret", "refuses access (403)")]
    [InlineData(404, "RepoNotFound", null, "has no such model or revision")]
    [InlineData(404, "RevisionNotFound", null, "but no such revision")]
    public async Task A_refusal_says_what_to_do_and_never_shows_the_token(
        int status,
        string? code,
        string? token,
        string says
    )
    {
        if (token is not null)
        {
            variables["HF_TOKEN"] = token;
        }

        hub.Instead = context =>
        {
            context.Response.StatusCode = status;
            if (code is not null)
            {
                context.Response.Headers["X-Error-Code"] = code;
            }

            return Task.FromResult(true);
        };
        var error = await RefusedAsync(says);
        Assert.DoesNotContain("hf_secret", $"{error}", StringComparison.Ordinal);
        Assert.Equal(token is null ? "" : $"Bearer {token}", Assert.Single(hub.Requests).Token);
    }

    [Fact]
    public async Task Redirects_are_followed_and_another_host_never_sees_the_token()
    {
        await using var store = await FakeHub.StartAsync();
        store.Files[Weights] = hub.Files[Weights];
        variables["HF_TOKEN"] = "hf_secret";
        hub.Instead = context =>
        {
            var path = context.Request.Path.Value!;
            if (Asks(context, Weights))
            {
                context.Response.Redirect($"{store.Address}/blobs/{Weights}?signature=1");
                return Task.FromResult(true);
            }

            if (path.StartsWith("/api/models/org/tiny/", StringComparison.Ordinal))
            {
                context.Response.Redirect($"/api/models/new/tiny/{path["/api/models/org/tiny/".Length..]}");
                context.Response.StatusCode = 307;
                return Task.FromResult(true);
            }

            return Task.FromResult(false);
        };
        await PullAsync();
        Assert.Equal("", Assert.Single(store.Requests).Token);
        Assert.All(hub.Requests, request => Assert.Equal("Bearer hf_secret", request.Token));
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(Snapshot, Weights)));
    }

    [Fact]
    public async Task A_redirect_without_end_is_given_up()
    {
        hub.Instead = context =>
        {
            context.Response.Redirect(context.Request.Path.Value! + "/more");
            return Task.FromResult(true);
        };
        await RefusedAsync("redirects without end");
        Assert.Equal(11, hub.Requests.Count);
    }

    [Fact]
    public async Task A_wrong_hash_is_not_taken()
    {
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights))
            {
                return false;
            }

            await FakeHub.SendAsync(context, new byte[hub.Files[Weights].Length]);
            return true;
        };
        await RefusedAsync("does not have the listed hash");
        Assert.False(Directory.Exists(Snapshot));
        Assert.Equal(0, new FileInfo(PartOfWeights()).Length);
    }

    [Theory]
    [InlineData(2_999_999, true, "sends 2999999 bytes, but lists 3000000")]
    [InlineData(3_000_001, true, "sends more than the 3000000 bytes")]
    [InlineData(3_500_000, false, "sends more than the 3000000 bytes")]
    public async Task A_wrong_size_is_not_taken(int length, bool says, string message)
    {
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights))
            {
                return false;
            }

            context.Response.ContentLength = says ? length : null;
            await context.Response.Body.WriteAsync(FakeHub.Bytes(length));
            return true;
        };
        await RefusedAsync(message);
        Assert.False(Directory.Exists(Snapshot));
    }

    [Fact]
    public async Task Two_pulls_at_once_download_each_file_once()
    {
        // The first pull is held back inside the file until the second one waits for it.
        var (begun, waits) = (new TaskCompletionSource(), new TaskCompletionSource());
        hub.Instead = async context =>
        {
            if (Asks(context, Weights))
            {
                begun.TrySetResult();
                await waits.Task;
            }

            return false;
        };
        var first = PullAsync();
        await begun.Task;
        var second = Pull(
            note =>
            {
                if (note.Contains(Weights, StringComparison.Ordinal))
                {
                    waits.TrySetResult();
                }
            },
            TimeProvider.System
        );
        await Task.WhenAll(first, second.RunAsync(ModelSite.HuggingFace, Name, TestContext.Current.CancellationToken));
        Assert.Single(hub.RequestsFor(Weights));
    }

    [Fact]
    public async Task A_full_disk_is_told_before_the_download()
    {
        hub.MoreEntries.Add(
            new
            {
                rfilename = "huge.safetensors",
                size = 1L << 60,
                lfs = new { sha256 = FakeHub.Sha256([1]), size = 1L << 60 },
            }
        );
        hub.Files.Remove(Weights);
        var error = await Assert.ThrowsAsync<IOException>(() => PullAsync());
        Assert.Contains("are free on that disk", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_disk_that_fills_up_keeps_what_came()
    {
        var file = new HubFile(
            Weights,
            hub.Files[Weights].Length,
            ContentHash.TryParse(FakeHub.Sha256(hub.Files[Weights]))
        );
        var store = new FullDisk(Cache);
        store.Prepare();
        using var client = new SiteClient(
            SiteAccess.FromEnvironment(ModelSite.HuggingFace, variables.GetValueOrDefault),
            Timing()
        );
        var download = new FileDownload(client, Timing(), Name, file, store, new TransferCounter(null), _ => { });
        var error = await Assert.ThrowsAsync<IOException>(() =>
            download.RunAsync(new Uri($"{hub.Address}/x/{Weights}"), TestContext.Current.CancellationToken)
        );
        Assert.Contains("free some space", error.Message, StringComparison.Ordinal);
        Assert.Single(hub.RequestsFor(Weights)); // no retry would help
        Assert.True(new FileInfo(PartOfWeights()).Length > 0);
    }

    [Fact]
    public async Task A_stopped_pull_leaves_nothing_half_visible()
    {
        using var stop = new CancellationTokenSource();
        hub.Instead = async context =>
        {
            if (!Asks(context, Weights))
            {
                return false;
            }

            context.Response.ContentLength = hub.Files[Weights].Length;
            await context.Response.Body.WriteAsync(hub.Files[Weights].AsMemory(0, 1_500_000));
            await context.Response.Body.FlushAsync();
            await stop.CancelAsync();
            return true;
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            Pull().RunAsync(ModelSite.HuggingFace, Name, stop.Token)
        );
        Assert.Null(ModelCaches.FromEnvironment(variables.GetValueOrDefault).Find(Name));
    }

    [Fact]
    public async Task A_model_that_is_refused_is_refused_before_its_weights()
    {
        var pull = new ModelPull(variables.GetValueOrDefault, Timing())
        {
            Examine = at => throw new InvalidDataException($"{at}/config.json: another family"),
        };
        var error = await Assert.ThrowsAsync<InvalidDataException>(() =>
            pull.RunAsync(ModelSite.HuggingFace, Name, TestContext.Current.CancellationToken)
        );
        Assert.Equal("org/tiny/config.json: another family", error.Message);
        Assert.Empty(hub.RequestsFor(Weights));
    }

    [Fact]
    public async Task Offline_the_cache_alone_is_used()
    {
        variables["HF_HUB_OFFLINE"] = "1";
        await RefusedAsync("HF_HUB_OFFLINE");
        Assert.Empty(hub.Requests);
        variables.Remove("HF_HUB_OFFLINE");
        await PullAsync();
        hub.Requests.Clear();
        variables["HF_HUB_OFFLINE"] = "true";
        Assert.Equal(Snapshot, (await PullAsync()).Folder);
        Assert.Empty(hub.Requests);
    }

    [Fact]
    public async Task A_revision_has_a_reference_of_its_own()
    {
        var named = HubName.Parse("org/tiny@refs/pr/1");
        await Pull().RunAsync(ModelSite.HuggingFace, named, TestContext.Current.CancellationToken);
        Assert.Contains(
            "/api/models/org/tiny/revision/refs%2Fpr%2F1",
            hub.Requests.First().Path,
            StringComparison.Ordinal
        );
        Assert.Equal(
            FakeHub.Commit,
            File.ReadAllText(Path.Combine(Cache, "models--org--tiny", "refs", "refs", "pr", "1"))
        );
        Assert.Equal(Snapshot, ModelCaches.FromEnvironment(variables.GetValueOrDefault).Find(named));
    }

    [Fact]
    public async Task Progress_ends_with_all_bytes()
    {
        List<PullProgress> told = [];
        var pull = new ModelPull(variables.GetValueOrDefault, Timing()) { Progressed = told.Add };
        var pulled = await pull.RunAsync(ModelSite.HuggingFace, Name, TestContext.Current.CancellationToken);
        Assert.Equal(new PullProgress(pulled.Bytes, pulled.Bytes, pulled.Bytes), told[^1]);
    }

    [Fact]
    public async Task ModelScope_has_its_own_cache_and_addresses()
    {
        hub.Instead = async context =>
        {
            var path = context.Request.Path.Value!;
            var file = context.Request.Query["FilePath"].ToString();
            if (path == "/api/v1/models/org/tiny/repo/files")
            {
                await context.Response.WriteAsync(
                    JsonSerializer.Serialize(
                        new
                        {
                            Code = 200,
                            Data = new
                            {
                                Files = hub.Files.Select(each => new
                                {
                                    Path = each.Key,
                                    Size = each.Value.Length,
                                    Sha256 = FakeHub.Sha256(each.Value),
                                    Type = "blob",
                                }),
                            },
                        }
                    )
                );
                return true;
            }

            await FakeHub.SendAsync(context, hub.Files[file]);
            return true;
        };
        var pulled = await Pull().RunAsync(ModelSite.ModelScope, Name, TestContext.Current.CancellationToken);
        Assert.Equal(folder.At(".cache", "modelscope", "hub", "models", "org", "tiny"), pulled.Folder);
        Assert.Equal(hub.Files[Weights], File.ReadAllBytes(Path.Combine(pulled.Folder, Weights)));
        var caches = ModelCaches.FromEnvironment(variables.GetValueOrDefault);
        Assert.Equal(pulled.Folder, caches.Find(Name));
        var model = Assert.Single(caches.List());
        Assert.Equal(["master"], model.Revisions);
        Assert.Equal((0, 3), (CachedContent.Verify(model).Problems.Count, CachedContent.Verify(model).Known));
        hub.Requests.Clear();
        var again = await Pull().RunAsync(ModelSite.ModelScope, Name, TestContext.Current.CancellationToken);
        Assert.Equal((0L, 1), (again.Received, hub.Requests.Count));
        File.WriteAllText(Path.Combine(pulled.Folder, "config.json"), """{"model_type": "CHATGLM"}""");
        Assert.Contains("config.json", Assert.Single(CachedContent.Verify(model).Problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ModelScope_reports_errors_inside_an_answer()
    {
        hub.Instead = async context =>
        {
            await context.Response.WriteAsync(
                """{"Code": 10010205001, "Message": "record not found", "Success": false}"""
            );
            return true;
        };
        var error = await Assert.ThrowsAsync<InvalidDataException>(() =>
            Pull().RunAsync(ModelSite.ModelScope, Name, TestContext.Current.CancellationToken)
        );
        Assert.Contains("record not found", error.Message, StringComparison.Ordinal);
    }

    private static bool Asks(HttpContext context, string file) =>
        context.Request.Path.Value!.EndsWith("/" + file, StringComparison.Ordinal);

    private static List<string> Names(string folder) =>
        [.. Directory.GetFiles(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    private TransferTiming Timing() => new() { Retries = 3, Clock = clock };

    private ModelPull Pull(Action<string>? note = null, TimeProvider? time = null) =>
        new(variables.GetValueOrDefault, Timing() with { Clock = time ?? clock }) { Noted = note ?? (_ => { }) };

    private Task<PulledModel> PullAsync() =>
        Pull().RunAsync(ModelSite.HuggingFace, Name, TestContext.Current.CancellationToken);

    private async Task<InvalidDataException> RefusedAsync(string says)
    {
        var error = await Assert.ThrowsAsync<InvalidDataException>(PullAsync);
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        return error;
    }

    private string PartOfWeights() =>
        Path.Combine(Cache, "models--org--tiny", "blobs", $"{FakeHub.Sha256(hub.Files[Weights])}.incomplete");

    private void Begin(byte[] content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(PartOfWeights())!);
        File.WriteAllBytes(PartOfWeights(), content);
    }

    private sealed class FullDisk(string cache) : HubStore(cache, Name, FakeHub.Commit)
    {
        public override Stream OpenPart(HubFile file) => new FullFile(PartOf(file));
    }

    private sealed class FullFile(string path) : FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite)
    {
        private const long Room = 100_000;

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (Position + buffer.Length <= Room)
            {
                return base.WriteAsync(buffer, cancellationToken);
            }

            Write(buffer.Span[..(int)Math.Max(Room - Position, 0)]);
            throw new IOException("No space left on device");
        }
    }
}
