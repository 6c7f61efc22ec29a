using GlmTune.Hub.Caches;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes;

public sealed class ModelReferenceTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("glmtune-test-").FullName;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public void A_hub_id_is_the_snapshot_that_main_names()
    {
        var first = Make("hub", "models--THUDM--glm-4-9b-chat", "snapshots", "0123");
        var second = Make("hub", "models--THUDM--glm-4-9b-chat", "snapshots", "4567");
        Write("4567\n", "hub", "models--THUDM--glm-4-9b-chat", "refs", "main");
        Assert.Equal(second, ModelReference.Resolve("THUDM/glm-4-9b-chat", Cache("empty", "hub")));
        Assert.NotEqual(first, second);
    }

    [Fact]
    public void Without_main_the_only_snapshot_is_taken_but_none_of_several()
    {
        var only = Make("hub", "models--a--b", "snapshots", "0123");
        Assert.Equal(only, ModelReference.Resolve("a/b", Cache("hub")));
        Make("hub", "models--a--b", "snapshots", "4567");
        Assert.Throws<InvalidDataException>(() => ModelReference.Resolve("a/b", Cache("hub")));
    }

    [Fact]
    public void A_missing_model_says_where_to_put_it()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            ModelReference.Resolve("THUDM/glm-4-9b-chat", Cache("one", "two"))
        );
        Assert.Contains(At("one", "models--THUDM--glm-4-9b-chat"), error.Message, StringComparison.Ordinal);
        Assert.Contains(At("two", "models--THUDM--glm-4-9b-chat"), error.Message, StringComparison.Ordinal);
        Assert.Contains("glmtune model pull THUDM/glm-4-9b-chat", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_cache_is_where_the_variables_say_in_order()
    {
        var variables = new Dictionary<string, string>
        {
            ["HOME"] = "/h",
            ["HF_HOME"] = "/two",
            ["HF_HUB_CACHE"] = "~/one",
            ["XDG_CACHE_HOME"] = "/three",
        };
        Assert.Equal(
            ["/h/one", "/two/hub", "/three/huggingface/hub", "/h/.cache/huggingface/hub"],
            HubCache.FromEnvironment(variables.GetValueOrDefault).Folders
        );
    }

    [Theory]
    [InlineData("base")]
    [InlineData("parent/base")]
    public void A_base_lies_beside_the_adapter_or_beside_its_parent(string name)
    {
        var adapter = Make("run", "parent", "checkpoint-4");
        Write(
            $"{{\"peft_type\": \"LORA\", \"base_model_name_or_path\": \"{name}\"}}",
            "run",
            "parent",
            "checkpoint-4",
            "adapter_config.json"
        );
        Assert.Throws<InvalidDataException>(() => TunedPath.Resolve(adapter, caches: Cache()));
        var far = Make(["run", .. name.Split('/')]);
        Assert.Equal(new TunedPath(far, adapter), TunedPath.Resolve(adapter, caches: Cache()));
        var near = Make(["run", "parent", .. name.Split('/')]);
        Assert.Equal(
            new TunedPath(near, adapter),
            TunedPath.Resolve(adapter + "/", caches: Cache()) with
            {
                AdapterFolder = adapter,
            }
        );
    }

    [Fact]
    public void A_base_can_be_in_the_cache_and_can_be_given_instead()
    {
        var adapter = Make("adapter");
        Write(
            """{"peft_type": "LORA", "base_model_name_or_path": "THUDM/glm-4-9b-chat"}""",
            "adapter",
            "adapter_config.json"
        );
        var cached = Make("hub", "models--THUDM--glm-4-9b-chat", "snapshots", "0123");
        var other = Make("other");
        Assert.Equal(new TunedPath(cached, adapter), TunedPath.Resolve(adapter, caches: Cache("hub")));
        Assert.Equal(new TunedPath(other, adapter), TunedPath.Resolve(adapter, other, Cache("hub")));
    }

    [Theory]
    [InlineData("""{"peft_type": "LORA"}""")]
    [InlineData("""{"peft_type": "LORA", "base_model_name_or_path": null}""")]
    [InlineData("""{"peft_type": "LORA", "base_model_name_or_path": "nowhere"}""")]
    public void An_adapter_without_its_base_asks_for_one(string config)
    {
        var adapter = Make("adapter");
        Write(config, "adapter", "adapter_config.json");
        var error = Assert.Throws<InvalidDataException>(() => TunedPath.Resolve(adapter, caches: Cache()));
        Assert.Contains("--base", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_of_checkpoints_says_which_was_meant()
    {
        Make("output", "checkpoint-90");
        Make("output", "checkpoint-600");
        var error = Assert.Throws<InvalidDataException>(() => TunedPath.Resolve(At("output"), caches: Cache()));
        Assert.Contains("checkpoint-600", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_needs_no_base()
    {
        var model = Make("model");
        Write("{}", "model", "config.json");
        Assert.Equal(new TunedPath(model, null), TunedPath.Resolve(model, caches: Cache()));
        Assert.Throws<InvalidDataException>(() => TunedPath.Resolve(model, model, Cache()));
    }

    private ModelCaches Cache(params string[] folders) =>
        new(new HubCache([.. folders.Select(folder => At(folder))]), new ModelScopeCache([At("modelscope")]));

    private string At(params string[] parts) => Path.Combine([root, .. parts]);

    private string Make(params string[] parts) => Directory.CreateDirectory(At(parts)).FullName;

    private void Write(string text, params string[] parts)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(At(parts))!);
        File.WriteAllText(At(parts), text);
    }
}
