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
    internal void Arguments_are_checked_against_the_declared_schema(string arguments, FindingKind? kind, string? text)
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
    [InlineData("""{"if": {"$ref": "#/definitions/a"}, "definitions": {"a": {"then": {"$ref": "#"}}}}""", "in a cycle")]
    [InlineData("""{"dependencies": {"a": {"$ref": "#"}}}""", "in a cycle")]
    [InlineData("""{"$recursiveRef": "#"}""", "only $ref is supported")]
    [InlineData("""{"type": "dict"}""", "is invalid: 'dict'")]
    [InlineData("""{"properties": {"a": "a number"}}""", "is invalid")]
    public void A_schema_that_cannot_be_used_is_found_and_nothing_is_fetched(string schema, string text)
    {
        var report = Check(Row(System($$"""{"name": "f", "parameters": {{schema}}}"""), User("q"), Assistant("a")));
        var finding = Assert.Single(report.Findings);
        Assert.Equal(FindingKind.BadSchema, finding.Kind);
        Assert.Contains(text, finding.Problem.Text, StringComparison.Ordinal);
    }

    // Arguments, the schema of 'a', and what is said of it; null for nothing.
    [Theory]
    [InlineData("""{"type": "string"}""", "7", "'a' is 7; expected a string")]
    [InlineData("""{"type": "number"}""", "\"7\"", "'a' is '7'; expected a number")]
    [InlineData("""{"type": "integer"}""", "7.0", null)]
    [InlineData("""{"type": "boolean"}""", "null", "'a' is null; expected true or false")]
    [InlineData("""{"type": "object"}""", "[]", "'a' is []; expected an object")]
    [InlineData("""{"type": "null"}""", "{}", "'a' is {}; expected null")]
    [InlineData("""{"type": ["integer", "null"]}""", "true", "'a' is true; expected a whole number or null")]
    [InlineData(
        """{"anyOf": [{"type": "integer"}, {"type": "null"}]}""",
        "\"x\"",
        "'a' is 'x'; expected a whole number or null"
    )]
    [InlineData(
        """{"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}]}""",
        "\"x\"",
        "'a' is 'x'; expected what the schema declares"
    )]
    [InlineData("""{"oneOf": [{"type": "integer"}, {"type": "number"}]}""", "1", "expected what the schema declares")]
    [InlineData("""{"not": {"type": "string"}}""", "\"x\"", "'a' is 'x'; expected what the schema declares")]
    [InlineData("""{"const": 1}""", "2", "'a' is 2, which is not one of the allowed values")]
    [InlineData("""{"enum": ["红", "blue"]}""", "\"绿\"", "'a' is '绿', which is not one of the allowed values")]
    [InlineData("""{"minLength": 3}""", "\"x\"", "'a' is 'x'; expected at least 3 characters")]
    [InlineData("""{"maxLength": 1}""", "\"xy\"", "'a' is 'xy'; expected at most 1 characters")]
    [InlineData("""{"pattern": "^[a-z/ ]+$"}""", "\"X\"", "'a' is 'X'; expected text that matches ^[a-z/ ]+$")]
    [InlineData("""{"minimum": 2.5}""", "1", "'a' is 1; expected a number of at least 2.5")]
    [InlineData("""{"maximum": -1}""", "1", "'a' is 1; expected a number of at most -1")]
    [InlineData("""{"exclusiveMinimum": 1}""", "1", "'a' is 1; expected a number greater than 1")]
    [InlineData("""{"minimum": 1, "exclusiveMinimum": true}""", "1", "'a' is 1; expected a number greater than 1")]
    [InlineData("""{"maximum": 1, "exclusiveMaximum": false}""", "1", null)]
    [InlineData("""{"multipleOf": 0.5}""", "1.2", "'a' is 1.2; expected a multiple of 0.5")]
    [InlineData("""{"minItems": 2}""", "[1]", "'a' is [1]; expected at least 2 items")]
    [InlineData("""{"uniqueItems": true}""", "[1, 1]", "'a' is [1, 1]; expected items that are all different")]
    [InlineData("""{"maxProperties": 0}""", """{"k": 1}""", "'a' is {'k': 1}; expected at most 0 properties")]
    [InlineData("""{"format": "date"}""", "\"1.5.2024\"", "'a' is '1.5.2024'; expected a date such as 2024-05-01")]
    [InlineData("""{"format": "uuid"}""", "\"x\"", "expected a UUID")]
    [InlineData("""{"format": "of-our-own"}""", "\"x\"", null)]
    [InlineData("""{"items": {"type": "string"}}""", """["x", 1]""", "'a[1]' is 1; expected a string")]
    [InlineData("""{"items": [{}, {"type": "string"}]}""", "[1, 2, 3]", "'a[1]' is 2; expected a string")]
    [InlineData(
        """{"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}""",
        """[1, "x", 2]""",
        "'a[2]' is 2; expected a string"
    )]
    [InlineData(
        """{"properties": {"b/c": {"required": ["d", "e"]}}}""",
        """{"b/c": {"e": 1}}""",
        "'a.b/c.d' is missing"
    )]
    [InlineData("""{"dependentRequired": {"b": ["c"]}}""", """{"b": 1}""", "'a.c' is missing")]
    [InlineData("""{"additionalProperties": false}""", """{"b": 1}""", "'a.b' is not declared")]
    [InlineData("""{"propertyNames": {"maxLength": 1}}""", """{"long": 1}""", "'a.long' is not an allowed name")]
    [InlineData("""{"if": {"type": "string"}, "then": {"minLength": 2}}""", "\"x\"", "expected at least 2 characters")]
    [InlineData("""{"allOf": [{"type": "string"}, {"type": "string"}]}""", "1", "'f': 'a' is 1; expected a string.")]
    [InlineData("""{"$id": "#other", "$schema": "http://json-schema.org/draft-04/schema#"}""", "1", null)]
    public void What_is_wrong_with_an_argument_is_said_in_plain_words(string schema, string value, string? text)
    {
        var tool = """{"name": "f", "parameters": {"type": "object", "properties": {"a": """ + schema + "}}}";
        var findings = Check(
            Row(
                System(tool),
                User("q"),
                $$"""{"role": "assistant", "metadata": "f", "content": {{Quote("{\"a\": " + value + "}")}}}"""
            )
        ).Findings;
        if (text is null)
        {
            Assert.Empty(findings);
        }
        else
        {
            var finding = Assert.Single(findings);
            Assert.Equal(FindingKind.WrongArguments, finding.Kind);
            Assert.Contains(text, finding.Problem.Text, StringComparison.Ordinal);
        }
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
            "its schema is invalid: Invalid pattern",
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
