using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

/// <summary>Training and evaluation with a template that has thoughts before answers.</summary>
public class ThoughtsTests
{
    private static readonly Message[] Talk =
    [
        new(Role.User, "one?"),
        new(Role.Assistant, "two") { Reasoning = "hm" },
        new(Role.User, "three?"),
        new(Role.Assistant, "four") { Reasoning = "so" },
    ];

    [Fact]
    public void Each_answer_is_a_sequence_in_which_earlier_answers_have_no_thoughts() =>
        Assert.Equal(
            [
                "[gMASK]<sop><|user|>\none?<|assistant|>\n<think>«\nhm\n</think>\ntwo<|user|>»",
                "[gMASK]<sop><|user|>\none?<|assistant|>\ntwo<|user|>\nthree?<|assistant|>\n<think>"
                    + "«\nso\n</think>\nfour<|user|>»",
            ],
            Marked(new TemplateOptions(), Talk)
        );

    [Fact]
    public void Thoughts_are_read_but_not_supervised_if_the_options_say_so() =>
        Assert.Equal(
            [
                "[gMASK]<sop><|user|>\none?<|assistant|>\n<think>\nhm\n</think>\n«two<|user|>»",
                "[gMASK]<sop><|user|>\none?<|assistant|>\ntwo<|user|>\nthree?<|assistant|>\n<think>"
                    + "\nso\n</think>\n«four<|user|>»",
            ],
            Marked(new TemplateOptions { SupervisesThoughts = false }, Talk)
        );

    [Fact]
    public void Only_the_last_answer_is_a_sequence_with_combine() =>
        Assert.EndsWith(
            "«\nso\n</think>\nfour<|user|>»",
            Assert.Single(Marked(new TemplateOptions { SupervisedAnswers = SupervisedAnswers.Last }, Talk)),
            StringComparison.Ordinal
        );

    [Fact]
    public void An_answer_that_must_not_be_learnt_is_only_history() =>
        Assert.Equal(
            [
                "[gMASK]<sop><|user|>\none?<|assistant|>\ntwo<|user|>\nthree?<|assistant|>\n<think>"
                    + "«\nso\n</think>\nfour<|user|>»",
            ],
            Marked(new TemplateOptions(), [Talk[0], Talk[1] with { Loss = false }, .. Talk[2..]])
        );

    [Fact]
    public void Thoughts_may_stand_in_the_content() =>
        Assert.Equal(
            Marked(new TemplateOptions(), Talk[..2]),
            Marked(new TemplateOptions(), Talk[0], new Message(Role.Assistant, "<think>\nhm\n</think>\n\ntwo"))
        );

    [Fact]
    public void A_call_follows_its_thoughts_and_ends_with_the_role_of_its_result() =>
        Assert.Equal(
            [
                "[gMASK]<sop><|user|>\none?<|assistant|>\n<think>«\nhm\n</think>\nfind\n{\"to\": 1}<|observation|>»",
                "[gMASK]<sop><|user|>\none?<|assistant|>find\n{\"to\": 1}<|observation|>\n9:10<|assistant|>\n<think>"
                    + "«\n\n</think>\nAt 9:10.<|user|>»",
            ],
            Marked(
                new TemplateOptions(),
                Talk[0],
                new Message(Role.Assistant, """{"to": 1}""") { Metadata = "find", Reasoning = "hm" },
                new Message(Role.Observation, "9:10"),
                new Message(Role.Assistant, "At 9:10.")
            )
        );

    [Fact]
    public void The_prompt_that_is_learnt_is_the_prompt_for_the_answer()
    {
        var template = Template(new TemplateOptions());
        foreach (var (index, example) in template.RenderTraining(new Conversation(Talk)).Index())
        {
            var prompt = template.RenderPrompt(new Conversation([.. Talk.Take((2 * index) + 1)]));
            Assert.Equal(prompt, example.TokenIds[..example.Supervised[0].Start]);
        }
    }

    [Fact]
    public void Evaluation_compares_with_the_answer_alone()
    {
        var template = Template(new TemplateOptions());
        var rows = template.RenderEvaluation(new Conversation(Talk));
        Assert.Equal(
            [("two<|user|>", 1, true), ("four<|user|>", 3, true)],
            rows.Select(row =>
                (template.Tokenizer.Decode(row.TargetIds, skipSpecial: false), row.MessageIndex, row.Thinks)
            )
        );
        Assert.Equal(template.RenderPrompt(new Conversation([.. Talk.Take(3)])), rows[1].PromptIds);
    }

    [Fact]
    public void Truncation_is_counted_and_what_has_nothing_left_to_learn_is_no_sequence()
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "rows.jsonl");
        File.WriteAllText(
            path,
            """
            {"messages": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "two", "reasoning_content": "hm"},
             {"role": "user", "content": "three, and more"}, {"role": "assistant", "content": "four", "reasoning_content": "so"}]}
            """.ReplaceLineEndings("")
        );
        var set = TrainingSet.Read(path, Template(new TemplateOptions { MaxInputTokens = 35, MaxOutputTokens = 1 }));
        Assert.Single(set);
        Assert.Equal((1, 1, 1), (set.Report.Rows, set.Report.Cut, set.Report.LostTheirEnd));
    }

    [Fact]
    public void A_template_without_thoughts_refuses_them_by_name()
    {
        foreach (var preset in (TemplatePreset[])[TemplatePreset.Default, TemplatePreset.April2025])
        {
            var template = new Glm4Template(TinyTokenizer.Create(), new TemplateOptions { Preset = preset });
            foreach (
                var render in (Action[])
                    [
                        () => template.RenderTraining(new Conversation(Talk)),
                        () => template.RenderEvaluation(new Conversation(Talk)),
                    ]
            )
            {
                var error = Assert.Throws<InvalidDataException>(render);
                Assert.StartsWith("messages[1]: 'reasoning_content'", error.Message, StringComparison.Ordinal);
                Assert.Contains($"'{preset.Name}' has no place for thoughts", error.Message, StringComparison.Ordinal);
            }

            // A client of the server sends back what it got; that is not training data.
            Assert.NotEmpty(template.RenderPrompt(new Conversation(Talk)));
        }
    }

    [Fact]
    public void A_question_cannot_be_supervised_beside_thoughts() =>
        Assert.Contains(
            "messages[0]: 'loss' is true",
            Assert
                .Throws<InvalidDataException>(() =>
                    Marked(new TemplateOptions(), Talk[0] with { Loss = true }, Talk[1])
                )
                .Message,
            StringComparison.Ordinal
        );

    private static string[] Marked(TemplateOptions options, params Message[] messages)
    {
        var template = Template(options);
        return
        [
            .. template
                .RenderTraining(new Conversation(messages))
                .Select(example => MarkedText.Of(example, template.Tokenizer)),
        ];
    }

    private static Glm4Template Template(TemplateOptions options) =>
        new(TinyTokenizer.Create(), options with { Preset = TemplatePreset.Z1 });
}
