using GlmTune.Data.Checking;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Checking;

public class DataCheckTests
{
    private const string Tools = """
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}, "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["n"]}}}
        """;

    [Fact]
    public void A_file_is_counted_and_every_row_that_training_would_refuse_or_cut_is_found()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write(
            "train.jsonl",
            string.Join(
                '\n',
                Row(User("q"), Assistant("abc")),
                Row(User("q"), Assistant(new string('a', 60))),
                Row(User("q")),
                "{}",
                "not json",
                Row(User("q"), Assistant("a"), User(new string('q', 60))),
                Row(User("q"), Assistant(""), Assistant("a<|user|>"))
            )
        );
        var template = new Glm4Template(
            TinyTokenizer.Create(),
            new TemplateOptions { MaxInputTokens = 20, MaxOutputTokens = 9 }
        );

        var report = new DataCheck(template).Check(path, parallelism: 2);

        Assert.Equal((7, 4), (report.Rows, report.UsableRows));
        Assert.Equal((11, 4, 0), (report.Messages, report.Answers, report.PromptsTooLong));
        Assert.Equal(
            [
                (FindingKind.LostEnd, 2, (int?)null),
                (FindingKind.NothingLearnt, 3, null),
                (FindingKind.BadRow, 4, null),
                (FindingKind.BadRow, 5, null),
                (FindingKind.Cut, 6, null),
                (FindingKind.EmptyMessage, 7, 1),
                (FindingKind.SpecialText, 7, 2),
            ],
            report.Findings.Select(finding => (finding.Kind, finding.Problem.Line, finding.Problem.Message))
        );
        Assert.Equal((2, 3), (report.CutRows, report.Findings.Count(finding => finding.IsError)));

        var usable = TrainingSet.Read(path, template, new ExampleOptions { BadRows = Data.Conversations.BadRows.Skip });
        Assert.Equal(usable.Sum(example => example.TokenIds.Length), report.Tokens);
        Assert.Equal(usable.Sum(example => example.SupervisedTokens), report.SupervisedTokens);
    }

    [Theory]
    [InlineData("""{"n": 1, "unit": "C"}""", null, null)]
    [InlineData("""{"unit": "C"}""", FindingKind.WrongArguments, "'n' is missing")]
    [InlineData("""{"n": "1"}""", FindingKind.WrongArguments, "'n' is '1'; expected a whole number")]
    [InlineData(
        """{"n": 1, "unit": "K"}""",
        FindingKind.WrongArguments,
        "'unit' is 'K', which is not one of the allowed values"
    )]
    [InlineData("""[1]""", FindingKind.BadRow, "not a JSON object: [1] (found an array")]
    [InlineData("""n = 1""", FindingKind.BadRow, "not a JSON object: n = 1")]
    public void Arguments_are_checked_against_the_declared_schema(string arguments, FindingKind? kind, string? text)
    {
        var report = Check(
            Row(
                System(Tools),
                User("q"),
                $$"""{"role": "assistant", "metadata": "f", "content": {{Quote(arguments)}}}"""
            )
        );
        Assert.Equal(kind == FindingKind.BadRow ? 0 : 1, report.ToolCalls);
        if (kind is null)
        {
            Assert.Empty(report.Findings);
        }
        else
        {
            var finding = Assert.Single(report.Findings);
            Assert.Equal((kind.Value, (int?)2), (finding.Kind, finding.Problem.Message));
            Assert.Contains(text!, finding.Problem.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Calls_in_the_demos_style_are_checked_too()
    {
        var report = Check(
            Row(
                System(Tools),
                User("q"),
                Assistant("""{"name": "f", "arguments": {"n": 1.5}}"""),
                Assistant("""{"name": "g", "arguments": {}}""")
            )
        );
        Assert.Equal(
            [(FindingKind.WrongArguments, (int?)2), (FindingKind.UndeclaredTool, 3)],
            report.Findings.Select(finding => (finding.Kind, finding.Problem.Message))
        );
        Assert.Contains(
            "a call to 'g', but the declared tools are f.",
            report.Findings[1].Problem.Text,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("""{"$ref": "https://example.com/schema.json"}""", "only references within it")]
    [InlineData("""{"properties": {"a": [{"$ref": "other.json#/a"}]}}""", "refers to 'other.json#/a'")]
    [InlineData("""[]""", "'parameters' is not an object")]
    [InlineData("""{"oneOf": [{"$ref": "#"}, {"type": "string"}]}""", "in a cycle")]
    [InlineData(
        """{"not": {"$ref": "#/definitions/a"}, "definitions": {"a": {"anyOf": [{"allOf": [{"$ref": "#/definitions/a"}]}]}}}""",
        "in a cycle"
    )]
    [InlineData("""{"properties": {"a": {"$ref": "#/definitions/missing"}}}""", "is invalid")]
    public void A_schema_that_cannot_be_used_is_found_and_nothing_is_fetched(string schema, string text)
    {
        var report = Check(Row(System($$"""{"name": "f", "parameters": {{schema}}}"""), User("q"), Assistant("a")));
        var finding = Assert.Single(report.Findings);
        Assert.Equal(FindingKind.BadSchema, finding.Kind);
        Assert.Contains(text, finding.Problem.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_schema_may_refer_to_itself_further_down()
    {
        const string tree =
            """{"name": "f", "parameters": {"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"$ref": "#/definitions/n"}}, "definitions": {"n": {"type": "integer"}}}}""";
        const string call =
            """{"role": "assistant", "metadata": "f", "content": "{\"child\": {\"child\": {\"n\": true}}}"}""";
        var finding = Assert.Single(Check(Row(System(tree), User("q"), call)).Findings);
        Assert.Contains(
            "'child.child.n' is true; expected a whole number",
            finding.Problem.Text,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_pattern_that_is_none_does_not_end_the_check()
    {
        const string tool =
            """{"name": "f", "parameters": {"properties": {"a": {"type": "string", "pattern": "("}}}}""";
        const string call = """{"role": "assistant", "metadata": "f", "content": "{\"a\": \"x\"}"}""";
        Assert.Contains(
            "it cannot be checked: Invalid pattern",
            Assert.Single(Check(Row(System(tool), User("q"), call)).Findings).Problem.Text,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void An_observation_needs_a_call_before_it()
    {
        const string observation = """{"role": "observation", "content": "r"}""";
        const string call = """{"role": "assistant", "metadata": "f", "content": "{\"n\": 1}"}""";
        var report = Check(Row(System(Tools), User("q"), observation, call, observation, observation, Assistant("a")));
        Assert.Equal(
            [(FindingKind.ObservationWithoutCall, (int?)2)],
            report.Findings.Select(finding => (finding.Kind, finding.Problem.Message))
        );
    }

    [Fact]
    public void Prompts_that_are_too_long_to_evaluate_are_counted()
    {
        using var folder = new TemporaryFolder();
        var template = new Glm4Template(
            TinyTokenizer.Create(),
            new TemplateOptions { MaxInputTokens = 8, MaxOutputTokens = 90 }
        );
        var report = new DataCheck(template).Check(
            folder.Write("a.jsonl", Row(User("q"), Assistant("a"), User("q"), Assistant("a")))
        );
        Assert.Equal((2, 1), (report.Answers, report.PromptsTooLong));
    }

    [Fact]
    public void Lengths_are_summed_up_in_powers_of_two()
    {
        var lengths = LengthSummary.Of([100, 20, 33, 64, 65, 30, 31, 32, 1000, 21]);
        Assert.Equal((20, 32, 1000, 1000), (lengths.Shortest, lengths.Median, lengths.Percentile95, lengths.Longest));
        Assert.Equal(139.6, lengths.Mean, 9);
        Assert.Equal([(32, 5), (64, 2), (128, 2), (256, 0), (512, 0), (1024, 1)], lengths.Histogram);
        Assert.Equal(
            (0, 0, 0),
            (LengthSummary.Of([]).Longest, LengthSummary.Of([]).Median, LengthSummary.Of([]).Histogram.Count)
        );
    }

    [Theory]
    [InlineData("toolalpaca/glaive_en.native.jsonl", 300, 211)]
    [InlineData("toolalpaca/glaive_en.messages.jsonl", 300, 211)]
    [InlineData("toolalpaca/glaive_zh.native.jsonl", 300, 216)]
    [InlineData("toolalpaca/glaive_zh.messages.jsonl", 300, 216)]
    [InlineData("advertisegen/dev.messages.jsonl", 1070, 0)]
    public void The_reference_files_have_the_calls_that_their_makers_counted(string file, int rows, int calls)
    {
        var template = new Glm4Template(SharedData.Glm4, new TemplateOptions { MaxInputTokens = 8192 });
        var report = new DataCheck(template).Check(GoldenData.Shared(file), parallelism: 2);
        Assert.Equal((rows, rows, calls, 0), (report.Rows, report.UsableRows, report.ToolCalls, report.CutRows));
    }

    private static SplitReport Check(string row)
    {
        using var folder = new TemporaryFolder();
        return new DataCheck(
            new Glm4Template(TinyTokenizer.Create(), new TemplateOptions { MaxInputTokens = 4096 })
        ).Check(folder.Write("a.jsonl", row));
    }

    private static string Row(params string[] messages) =>
        $"{{\"messages\": [{string.Join(", ", messages)}]}}".ReplaceLineEndings("");

    private static string System(string tools) => $$"""{"role": "system", "content": "", "tools": [{{tools}}]}""";

    private static string User(string content) => $$"""{"role": "user", "content": {{Quote(content)}}}""";

    private static string Assistant(string content) => $$"""{"role": "assistant", "content": {{Quote(content)}}}""";

    private static string Quote(string text) => PythonJson.Quote(text);
}
