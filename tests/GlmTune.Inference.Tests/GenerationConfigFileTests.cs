namespace GlmTune.Inference.Tests;

public sealed class GenerationConfigFileTests : IDisposable
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory();

    public void Dispose() => folder.Delete(recursive: true);

    [Fact]
    public void A_models_file_says_how_it_samples_and_where_it_stops()
    {
        var options = Read(
            """
            {
              "eos_token_id": [151329, 151336, 151338],
              "pad_token_id": 151329,
              "do_sample": true,
              "temperature": 0.8,
              "max_length": 128000,
              "top_p": 0.8,
              "transformers_version": "4.40.2"
            }
            """
        );
        Assert.Equal([151329, 151336, 151338], options.EosTokenIds);
        Assert.Equal(
            new GenerationOptions
            {
                PadTokenId = 151329,
                DoSample = true,
                Temperature = 0.8,
                MaxLength = 128000,
                TopP = 0.8,
            },
            options with
            {
                EosTokenIds = null,
            }
        );
        var tokens = options.TokensOnly();
        Assert.Equal(new GenerationOptions { PadTokenId = 151329 }, tokens with { EosTokenIds = null });
        Assert.Equal(options.EosTokenIds, tokens.EosTokenIds);
    }

    [Fact]
    public void The_golden_models_file_reads()
    {
        var options = GenerationConfigFile.ReadFolder(GoldenData.Path("glm-tiny/model-hf"));
        Assert.Equal([1, 2], options.EosTokenIds);
        Assert.Equal(0, options.PadTokenId);
        Assert.Null(options.DoSample);
    }

    [Fact]
    public void One_id_is_a_list_of_one_and_null_is_nothing()
    {
        Assert.Equal([2], Read("""{"eos_token_id": 2, "top_k": null}""").EosTokenIds);
        Assert.Null(Read("""{"eos_token_id": null}""").EosTokenIds);
    }

    [Fact]
    public void A_folder_without_the_file_says_nothing() =>
        Assert.Equal(new GenerationOptions(), GenerationConfigFile.ReadFolder(folder.FullName));

    [Fact]
    public void All_wrong_values_are_reported_at_once()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            Read("""{"temperature": "hot", "top_p": 1.5, "top_k": 2.5, "do_sample": 1, "eos_token_id": [1, "a"]}""")
        );
        Assert.Equal(
            [
                "generation_config.json: 'do_sample' is 1; expected true or false",
                "generation_config.json: 'temperature' is \"hot\"; expected a number above 0",
                "generation_config.json: 'top_p' is 1.5; expected a number above 0 and at most 1",
                "generation_config.json: 'top_k' is 2.5; expected a whole number of at least 0",
                "generation_config.json: 'eos_token_id' is [1, \"a\"]; expected a token id or a list of token ids",
            ],
            [
                .. error
                    .Message.Split('\n')
                    .Select(line => line.Replace($"{folder.FullName}/", "", StringComparison.Ordinal)),
            ]
        );
    }

    [Theory]
    [InlineData("{\n\"a\": }", "generation_config.json, line 2, character 6: not valid JSON: ")]
    [InlineData("[]", "generation_config.json: found an empty array; expected an object")]
    [InlineData("{\"a\": 1, \"a\": 2}", "generation_config.json, line 1, character 10: not valid JSON: ")]
    public void A_file_that_is_no_object_is_explained(string json, string problem) =>
        Assert.Contains(
            problem,
            Assert.Throws<InvalidDataException>(() => Read(json)).Message,
            StringComparison.Ordinal
        );

    [Fact]
    public void A_byte_order_mark_is_passed_over() => Assert.Equal(3, Read("\ufeff{\"top_k\": 3}").TopK);

    [Fact]
    public void Keys_that_would_change_answers_elsewhere_are_named()
    {
        Read(
            """
            {"min_p": 0.1, "typical_p": 0.9, "guidance_scale": 1.0, "stop_strings": ["x"], "bad_words_ids": null,
             "suppress_tokens": [], "renormalize_logits": false}
            """
        );
        var notes = GenerationConfigFile.FindNotes(folder.FullName);
        Assert.Equal(2, notes.Count);
        Assert.Contains("'typical_p' is 0.9, which is not supported", notes[0], StringComparison.Ordinal);
        Assert.Contains("'stop_strings' is [\"x\"]", notes[1], StringComparison.Ordinal);
        Assert.Empty(GenerationConfigFile.FindNotes(folder.CreateSubdirectory("none").FullName));
    }

    [Fact]
    public void What_is_said_lies_over_what_is_not()
    {
        var upper = new GenerationOptions { MaxNewTokens = 5, TopK = 0 };
        var lower = new GenerationOptions
        {
            MaxNewTokens = 9,
            TopP = 0.5,
            EosTokenIds = [1],
        };
        var both = upper.Over(lower);
        Assert.Equal((5, 0, 0.5), (both.MaxNewTokens, both.TopK, both.TopP));
        Assert.Same(lower.EosTokenIds, both.EosTokenIds);
    }

    [Fact]
    public void Laying_over_carries_every_property()
    {
        foreach (var property in typeof(GenerationOptions).GetProperties().Where(property => property.CanWrite))
        {
            var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
            var value =
                type == typeof(IReadOnlyList<int>) ? new[] { 3 }
                : type == typeof(IReadOnlyDictionary<int, double>) ? new Dictionary<int, double> { [3] = 3 }
                : type == typeof(bool) ? true
                : Convert.ChangeType(3, type, null);
            var said = new GenerationOptions();
            property.SetValue(said, value);
            Assert.Equal(value, property.GetValue(said.Over(new GenerationOptions())));
            Assert.Equal(value, property.GetValue(new GenerationOptions().Over(said)));
        }
    }

    private GenerationOptions Read(string json)
    {
        var path = Path.Combine(folder.FullName, GenerationConfigFile.Name);
        File.WriteAllText(path, json);
        return GenerationConfigFile.Read(path);
    }
}
