using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class FoldedProblemsTests
{
    [Fact]
    public void What_is_the_same_in_many_rows_is_one_line_with_their_numbers()
    {
        int[] lines = [1, 2, 3, 7, 9, 10];
        var problems = lines
            .Select(line => new DataProblem("d/train.jsonl", new RowPlace(line), line, "it is odd."))
            .Append(new DataProblem("d/train.jsonl", new RowPlace(4), 2, "it is even."));
        Assert.Equal(
            ["train.jsonl, 6 rows (lines 1–3, 7, 9–10): it is odd.", "train.jsonl, line 4, messages[2]: it is even."],
            FoldedProblems.Lines(problems)
        );
    }

    [Fact]
    public void Problems_that_differ_in_a_number_are_described_by_the_largest()
    {
        var problems = new[] { 30, 80, 50 }.Select(
            (tokens, entry) =>
                new DataProblem("a.json", new RowPlace(1, entry + 1), null, $"{tokens} tokens.")
                {
                    Group = new ProblemGroup("long", tokens, most => $"up to {most} tokens."),
                }
        );
        Assert.Equal(["a.json, 3 rows (entries 1–3): up to 80 tokens."], FoldedProblems.Lines(problems));
    }

    [Fact]
    public void What_is_left_out_is_counted()
    {
        var problems = Enumerable
            .Range(0, 9)
            .Select(row => new DataProblem("a.json", new RowPlace(row + 1), null, $"problem {row / 2}."));
        var lines = FoldedProblems.Lines(problems, shown: 3);
        Assert.Equal((4, "… and 3 more problems."), (lines.Count, lines[^1]));
    }
}
