using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Templates;

public class OwnTemplateTests
{
    // GLM-4-0414's form: tools beside the messages, no persona, no end token but the next role.
    private const string Roles =
        "[gMASK]<sop>{%- if tools -%}<|system|>\n# T{% for tool in tools %}\n\n## {{ tool.function.name }}{% "
        + "endfor %}{%- endif -%}{%- for m in messages %}<|{{ m.role }}|>{{ m.metadata or '' }}\n{{ m.content "
        + "}}{%- endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}{# observation #}";

    // The form of a reasoning model: answers begin with <think>, and thoughts of earlier answers are left out.
    private const string Thoughts =
        "{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and not loop.last %}"
        + "{% set c = c.split('</think>')[-1] %}{% endif %}<|{{ m.role }}|>\n{{ c }}{% endfor %}"
        + "{% if add_generation_prompt %}<|assistant|>\n<think>{% endif %}";

    private static readonly Conversation Asked = new([
        new Message(Role.System, "be brief"),
        new Message(Role.User, "one?"),
        new Message(Role.Assistant, "two"),
        new Message(Role.User, "three?"),
        new Message(Role.Assistant, "four"),
    ]);

    [Fact]
    public void A_template_of_the_usual_form_gives_the_ids_and_supervision_of_the_preset()
    {
        var own = Own(Roles);
        var preset = new Glm4Template(own.Tokenizer);
        Assert.Equal(preset.RenderPrompt(Asked), own.RenderPrompt(Asked));
        foreach (var answers in Enum.GetValues<SupervisedAnswers>())
        {
            var (mine, theirs) = (Own(Roles, answers), new Glm4Template(own.Tokenizer));
            var example = mine.RenderTraining(Asked).Single();
            Assert.Equal(theirs.RenderTraining(Asked).Single().TokenIds, example.TokenIds);
        }

        Assert.Equal(preset.RenderTraining(Asked).Single().Supervised, own.RenderTraining(Asked).Single().Supervised);
        Assert.Equal(
            preset
                .RenderEvaluation(Asked)
                .Select(row => (string.Join(' ', row.PromptIds), string.Join(' ', row.TargetIds))),
            own.RenderEvaluation(Asked)
                .Select(row => (string.Join(' ', row.PromptIds), string.Join(' ', row.TargetIds)))
        );
        Assert.Null(own.Note);
        Assert.Equal(Roles, own.ChatTemplate);
    }

    [Fact]
    public void Tools_and_calls_reach_the_template_where_it_looks_for_them()
    {
        var conversation = new Conversation([
            new Message(Role.System, "")
            {
                Tools = [new ToolDefinition("function", "weather", """{"name": "weather"}""")],
            },
            new Message(Role.User, "rain?"),
            new Message(Role.Assistant, """{"city": "Bonn"}""") { Metadata = "weather" },
            new Message(Role.Observation, "dry"),
        ]);
        var template = Own(Roles);
        Assert.Equal(
            "[gMASK]<sop><|system|>\n# T\n## weather<|user|>\nrain?<|assistant|>weather\n{\"city\": \"Bonn\"}"
                + "<|observation|>\ndry",
            Show(template, template.RenderPrompt(conversation, addGenerationPrompt: false))
        );
        var calls = Own(
            "{% for m in messages %}{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}("
                + "{{ c.function.arguments.city }}){% endfor %};{% endfor %}"
        );
        Assert.Equal(
            "user:rain?;assistant:weather(Bonn);tool:dry;",
            Show(calls, calls.RenderPrompt(conversation, addGenerationPrompt: false))
        );
    }

    [Fact]
    public void Tools_may_be_as_deep_as_the_presets_take_them()
    {
        var deep = string.Concat(Enumerable.Repeat("""{"a":""", 150)) + "1" + new string('}', 150);
        var conversation = new Conversation([
            new Message(Role.System, "")
            {
                Tools = [new ToolDefinition("function", "f", $$"""{"name": "f", "parameters": {{deep}}}""")],
            },
            new Message(Role.User, "go"),
        ]);
        var template = Own("{{ tools | tojson }}");
        Assert.EndsWith(
            new string('}', 150) + "}}]",
            template.Tokenizer.Decode(template.RenderPrompt(conversation)),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_template_that_ends_answers_itself_gets_no_further_end_token()
    {
        var template = Own(
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|endoftext|>{% endfor %}"
                + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
        );
        var example = template.RenderTraining(Asked).Single();
        Assert.Equal(template.Tokenizer.Special.EndOfText, example.TokenIds[^1]);
        Assert.Equal(
            ["two<|endoftext|>", "four<|endoftext|>"],
            example.Supervised.Select(range => Show(template, example.TokenIds[range.Start..range.End]))
        );
    }

    [Fact]
    public void Thoughts_that_history_leaves_out_are_supervised_in_the_last_answer_only()
    {
        var conversation = new Conversation([
            new Message(Role.User, "one?"),
            new Message(Role.Assistant, "<think>hm</think>two"),
            new Message(Role.User, "three?"),
            new Message(Role.Assistant, "<think>so</think>four"),
        ]);
        var last = Own(Thoughts, SupervisedAnswers.Last);
        var example = last.RenderTraining(conversation).Single();
        var range = Assert.Single(example.Supervised);
        Assert.Equal("\nso\n</think>\nfour<|user|>", Show(last, example.TokenIds[range.Start..range.End]));
        Assert.DoesNotContain("hm", Show(last, example.TokenIds), StringComparison.Ordinal);
        Assert.Equal(2, Own(Thoughts).RenderEvaluation(conversation).Count);

        // As a preset that thinks: a sequence for each answer, and empty thoughts where there are none.
        var all = Own(Thoughts);
        Assert.Equal(2, all.RenderTraining(conversation).Count);
        var without = new Conversation([new Message(Role.User, "one?"), new Message(Role.Assistant, "two")]);
        Assert.EndsWith(
            "<|assistant|>\n<think>\n\n</think>\ntwo<|user|>",
            Show(all, all.RenderTraining(without).Single().TokenIds),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void An_answer_that_is_written_otherwise_once_more_messages_follow_is_refused()
    {
        var template = Own(
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content if loop.last else m.content|upper }}{% endfor %}"
                + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
        );
        var error = Assert.Throws<InvalidDataException>(() => template.RenderTraining(Asked));
        Assert.Contains("does not begin message 3 as it begins an answer", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Thoughts_reach_a_template_that_reads_them()
    {
        var conversation = new Conversation([
            new Message(Role.User, "one?"),
            new Message(Role.Assistant, "two") { Reasoning = "hm" },
        ]);
        foreach (
            var written in (string[])
                [
                    "{{ '<think>' + m.reasoning_content + '</think>' if m.reasoning_content }}{{ m.content }}",
                    "{{ m.content | replace('\\n', '') }}{# </think> #}",
                ]
        )
        {
            var template = Own(
                "{% for m in messages %}<|{{ m.role }}|>"
                    + written
                    + "{% endfor %}{% if add_generation_prompt %}"
                    + "<|assistant|>{% endif %}"
            );
            Assert.Equal(
                "<|user|>one?<|assistant|><think>hm</think>two<|user|>",
                Show(template, template.RenderTraining(conversation).Single().TokenIds)
            );
        }

        Assert.Throws<InvalidDataException>(() =>
            Own("{% for m in messages %}{{ m.content }}{% endfor %}").RenderTraining(conversation)
        );
    }

    [Theory]
    [InlineData(null, "have no chat template")]
    [InlineData("{% if %}", "chat template, line 1")]
    [InlineData("{{ raise_exception('no ' ~ messages[0].role) }}", "no system")]
    public void A_template_that_is_missing_damaged_or_refuses_says_so(string? template, string said) =>
        Assert.Contains(
            said,
            Assert.Throws<InvalidDataException>(() => Own(template).RenderPrompt(Asked)).Message,
            StringComparison.Ordinal
        );

    private static string Show(Glm4Template template, int[] ids) =>
        string.Concat(
            ids.Select(id =>
                template.Tokenizer.Special.All.FirstOrDefault(special => special.Value == id).Key
                ?? template.Tokenizer.Decode([id])
            )
        );

    private static Glm4Template Own(string? template, SupervisedAnswers answers = SupervisedAnswers.All) =>
        new(
            TinyTokenizer.Create(template),
            new TemplateOptions { Preset = TemplatePreset.Model, SupervisedAnswers = answers }
        );
}
