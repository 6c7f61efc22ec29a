namespace GlmTune.Hub.Caches;

public sealed class ModelCachesTests : IDisposable
{
    private const string First = "0123456789abcdef0123456789abcdef01234567";
    private const string Second = "1123456789abcdef0123456789abcdef01234567";
    private readonly TemporaryFolder folder = new();
    private readonly ModelCaches caches;

    public ModelCachesTests() =>
        caches = ModelCaches.FromEnvironment(
            new Dictionary<string, string>
            {
                ["HOME"] = folder.Path,
                ["MODELSCOPE_CACHE"] = folder.At("ms"),
            }.GetValueOrDefault
        );

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_revision_is_a_branch_a_commit_or_the_beginning_of_one()
    {
        var first = Snapshot(First);
        var second = Snapshot(Second);
        Refer("main", First);
        Refer("v1.0", Second);
        Assert.Equal(first, Find("org/tiny"));
        Assert.Equal(second, Find("org/tiny@v1.0"));
        Assert.Equal(second, Find($"org/tiny@{Second}"));
        Assert.Equal(second, Find("org/tiny@1123456"));
        Assert.Null(Find("org/tiny@112345"));
        Assert.Null(Find("org/tiny@v2.0"));
    }

    [Fact]
    public void A_reference_cannot_lead_out_of_the_cache()
    {
        Snapshot(First);
        Snapshot(Second);
        Refer("main", "../../../..");
        Assert.Null(Find("org/tiny"));
    }

    [Theory]
    [InlineData("ms/models/org/a___b"), InlineData("ms/hub/models/org/a.b"), InlineData("ms/org/a.b")]
    [InlineData(".cache/modelscope/hub/org/a___b"), InlineData(".cache/modelscope/hub/models/org/a___b")]
    public void Both_forms_of_ModelScopes_cache_are_read(string place)
    {
        folder.Write($"{place}/config.json", "{}");
        folder.Write($"{place}/.mv", "Revision:v1,CreatedAt:1");
        Assert.Equal(folder.At(place.Split('/')), Find("org/a.b"));
        Assert.Equal(folder.At(place.Split('/')), Find("org/a.b@v1"));
        Assert.Null(Find("org/a.b@master"));
        var model = Assert.Single(caches.List());
        Assert.Equal((ModelSite.ModelScope, "org/a.b"), (model.Site, model.Id));
        ModelCaches.Remove(model);
        Assert.Empty(caches.List());
    }

    [Fact]
    public void Models_are_listed_with_what_they_are()
    {
        Snapshot(First, """{"model_type": "chatglm"}""");
        Snapshot(Second, "damaged");
        Refer("main", First);
        var (main, other) = caches.List() is [var one, var two] ? (one, two) : throw new InvalidDataException();
        Assert.Equal(("org/tiny", "chatglm", 25L), (main.Name, main.Kind, main.Bytes));
        Assert.Equal(($"org/tiny@{Second}", "unknown"), (other.Name, other.Kind));
        Assert.Equal(2, caches.Named(HubName.Parse("org/tiny")).Count);
        Assert.Equal(main.Folder, Assert.Single(caches.Named(HubName.Parse("org/tiny@main"))).Folder);
        Assert.Empty(caches.Named(HubName.Parse("org/other")));
    }

    [Fact]
    public void What_another_revision_uses_stays()
    {
        Snapshot(First, "shared", "tokenizer.model");
        Snapshot(Second, "shared", "tokenizer.model");
        Snapshot(Second, "own");
        Refer("main", Second);
        var blobs = Path.Combine(Repository, "blobs");
        Assert.Equal(2, Directory.GetFiles(blobs).Length);
        ModelCaches.Remove(caches.Named(HubName.Parse("org/tiny@main")).Single());
        Assert.Single(Directory.GetFiles(blobs));
        Assert.False(File.Exists(Path.Combine(Repository, "refs", "main")));
        ModelCaches.Remove(caches.List().Single());
        Assert.False(Directory.Exists(Repository));
    }

    [Fact]
    public void A_model_that_is_being_downloaded_stays()
    {
        Snapshot(First);
        var path = folder.Write(".cache/huggingface/hub/.locks/models--org--tiny/x.lock", "");
        var (_, held) = Files.OsLock.OfFile(path);
        Assert.Throws<IOException>(() => ModelCaches.Remove(caches.List().Single()));
        held!.Dispose();
        ModelCaches.Remove(caches.List().Single());
        Assert.Empty(caches.List());
    }

    [Fact]
    public void Content_is_compared_with_the_hash_in_its_name()
    {
        var snapshot = Snapshot(First, "content");
        var model = caches.List().Single();
        Assert.Equal((0, 1), (CachedContent.Verify(model).Problems.Count, CachedContent.Verify(model).Known));
        File.WriteAllText(Path.Combine(snapshot, "config.json"), "Content");
        Assert.Contains(
            "its hash differs",
            Assert.Single(CachedContent.Verify(model).Problems),
            StringComparison.Ordinal
        );
        Directory.Delete(Path.Combine(Repository, "blobs"), recursive: true);
        Assert.Contains("is missing", Assert.Single(CachedContent.Verify(model).Problems), StringComparison.Ordinal);
    }

    private string Repository => folder.At(".cache", "huggingface", "hub", "models--org--tiny");

    private string? Find(string name) => caches.Find(HubName.Parse(name));

    private void Refer(string name, string commit) =>
        folder.Write($".cache/huggingface/hub/models--org--tiny/refs/{name}", commit);

    private string Snapshot(string commit, string content = "{}", string file = "config.json")
    {
        var hash = FakeHub.GitSha(System.Text.Encoding.UTF8.GetBytes(content));
        folder.Write($".cache/huggingface/hub/models--org--tiny/blobs/{hash}", content);
        var snapshot = Directory.CreateDirectory(Path.Combine(Repository, "snapshots", commit)).FullName;
        File.CreateSymbolicLink(Path.Combine(snapshot, file), $"../../blobs/{hash}");
        return snapshot;
    }
}
