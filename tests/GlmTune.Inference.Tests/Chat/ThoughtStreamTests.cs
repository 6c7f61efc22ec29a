using System.Text;

namespace GlmTune.Inference.Tests.Chat;

public class ThoughtStreamTests
{
    [Theory]
    [InlineData("\n Hm.\n\n</think>\n\nfour\n", "Hm.", "four\n")]
    [InlineData("\n\n</think>\nfour", "", "four")]
    [InlineData("</think>four </think>", "", "four </think>")]
    [InlineData("a </thin </think>b", "a </thin", "b")]
    [InlineData("a </</think>", "a </", "")]
    [InlineData("never ends </thi", "never ends </thi", "")]
    [InlineData("", "", "")]
    public void Thoughts_end_at_their_mark_however_the_text_is_cut(string text, string thoughts, string answer) =>
        AssertSplit(ThoughtStream.State.Thoughts, text, thoughts, answer);

    [Theory]
    [InlineData("\n<think>\nHm.</think>four", "Hm.", "four")]
    [InlineData("\nfour <think>five</think>", "", "\nfour <think>five</think>")]
    [InlineData(" <thin", "", " <thin")]
    [InlineData("\n", "", "\n")]
    public void Thoughts_may_come_or_not_where_the_prompt_does_not_open_them(
        string text,
        string thoughts,
        string answer
    ) => AssertSplit(ThoughtStream.State.Undecided, text, thoughts, answer);

    [Fact]
    public void Other_models_have_none() =>
        AssertSplit(ThoughtStream.State.Answer, "\n<think>a</think>", "", "\n<think>a</think>");

    private static void AssertSplit(ThoughtStream.State state, string text, string thoughts, string answer)
    {
        for (var size = 1; size <= Math.Max(1, text.Length); size++)
        {
            var stream = new ThoughtStream(state);
            var (thought, rest) = (new StringBuilder(), new StringBuilder());
            foreach (var piece in text.Chunk(size))
            {
                Take(stream.Add(new string(piece)));
            }

            Take(stream.Finish());
            Assert.Equal((thoughts, answer), (thought.ToString(), rest.ToString()));

            void Take((string Thoughts, string Answer) part)
            {
                thought.Append(part.Thoughts);
                rest.Append(part.Answer);
            }
        }
    }
}
