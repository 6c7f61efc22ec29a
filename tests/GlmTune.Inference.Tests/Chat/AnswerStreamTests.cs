using System.Text;
using CsCheck;
using GlmTune.Data.Tokenization;

namespace GlmTune.Inference.Tests.Chat;

public class AnswerStreamTests
{
    private static readonly string[] Tools = ["get_weather", "python"];

    [Theory]
    [InlineData("\n Hello  world \n\n")]
    [InlineData("Hello")]
    [InlineData("get_time\n{}")]
    public void Text_comes_as_soon_as_it_may_be_shown_and_is_stripped(string text)
    {
        var stream = new AnswerStream([], []);
        var pieces = text.Select(c => stream.Add(c.ToString())).ToList();
        pieces.Add(stream.EndMessage());
        Assert.Equal(text.Trim(), string.Concat(pieces));
        Assert.Equal(text.Trim(), Assert.Single(stream.Messages).Message.Content);
        Assert.True(pieces.Count(piece => piece.Length > 0) > 4);
    }

    [Theory]
    [InlineData("get_weather\n{\"city\": \"x\"}", true, "")]
    [InlineData("\n{\"name\": \"get_weather\", \"arguments\": {}}", true, "")]
    [InlineData("get_weather\nis a tool", false, "get_weather\nis a tool")]
    [InlineData("get_weather\n{ never ends", false, "get_weather\n{ never ends")]
    [InlineData("get_weath", false, "get_weath")]
    [InlineData("\n{\"nothing\": 1}", false, "{\"nothing\": 1}")]
    [InlineData("\npython\nprint(1)", false, "python\nprint(1)")]
    public void What_may_be_a_call_is_held_back_until_it_is_known(string text, bool call, string shown)
    {
        var stream = new AnswerStream(Tools, []);
        var pieces = text.Select(c => stream.Add(c.ToString())).ToList();
        pieces.Add(stream.EndMessage());
        Assert.Equal(shown, string.Concat(pieces));
        Assert.Equal(call, Assert.Single(stream.Messages).Call is not null);
    }

    [Fact]
    public void Text_that_is_no_call_is_not_held_back_to_the_end()
    {
        var stream = new AnswerStream(Tools, []);
        Assert.Equal("", stream.Add("g"));
        Assert.Equal("go", stream.Add("o"));
        stream = new AnswerStream(Tools, []);
        Assert.Equal("", stream.Add("\n{\"n"));
        Assert.Equal("{\"no", stream.Add("o"));
    }

    [Fact]
    public void A_stop_text_ends_the_answer_and_is_no_part_of_it()
    {
        var stream = new AnswerStream([], ["###", "END"]);
        var pieces = "one ## two EN three ### four END".Select(c => stream.Add(c.ToString())).ToList();
        Assert.True(stream.Stopped);
        Assert.Equal("one ## two EN three", string.Concat(pieces) + stream.EndMessage());
        Assert.Equal("one ## two EN three", Assert.Single(stream.Messages).Message.Content);
        var atOnce = new AnswerStream([], ["###"]);
        Assert.Equal("a ##", atOnce.Add("a ##") + atOnce.EndMessage());
    }

    [Fact]
    public void A_turn_that_the_model_opens_is_a_message_of_its_own()
    {
        var stream = new AnswerStream(Tools, []);
        var shown =
            stream.Add("\nI look.\n")
            + stream.EndMessage()
            + stream.Add("get_weather\n{}")
            + stream.EndMessage()
            + stream.Add("\nDone.")
            + stream.EndMessage();
        Assert.Equal("I look.\nDone.", shown);
        Assert.Equal([null, "get_weather", null], stream.Messages.Select(parsed => parsed.Call?.Name));
    }

    [Theory]
    [InlineData("get_weather\n{\"city\": \"}\\\"\", \"a\": [{}]} and more", "{\"city\": \"}\\\"\", \"a\": [{}]}")]
    [InlineData("get_weather \n  {\"city\": \"Par", "{\"city\": \"Par")]
    public void A_call_can_come_piece_by_piece_and_ends_with_its_last_brace(string text, string arguments)
    {
        var stream = new AnswerStream(Tools, [], streamCalls: true);
        var pieces = new List<ToolCallPiece>();
        foreach (var c in text)
        {
            Assert.Equal("", stream.Add(c.ToString()));
            pieces.AddRange(stream.TakeCalls());
        }

        Assert.Equal("", stream.EndMessage());
        pieces.AddRange(stream.TakeCalls());
        Assert.Equal(new ToolCallPiece(0, "get_weather", ""), pieces[0]);
        Assert.True(pieces.Count > 10);
        Assert.All(pieces[1..], piece => Assert.Null(piece.Name));
        Assert.Equal(arguments, string.Concat(pieces.Select(piece => piece.Arguments)));
        Assert.Equal(arguments, Assert.Single(stream.Messages).Call!.Arguments);
    }

    private static readonly Gen<string> Answers = Gen.OneOf(
            (string[])
                [
                    "get_weather",
                    "python",
                    "\n",
                    "\n\n",
                    " ",
                    "  \t",
                    "{",
                    "}",
                    "{}",
                    "{\"city\": \"Par\\\"is\"}",
                    "{\"name\": \"get_weather\", \"arguments\": {\"a\": [1]}}",
                    "{\"na",
                    "```",
                    "```json\n",
                    "print(1)",
                    "x",
                    "é",
                    "你好",
                    "😀",
                    "\u3000",
                    "#",
                    "##",
                    "###",
                    "E",
                    "EN",
                    "END",
                    "D.",
                    "ab",
                    "abcd",
                ]
        )
        .Array[0, 10]
        .Select(parts => string.Concat(parts));

    private static readonly Gen<string[]> Stops = Gen.OneOf(
        (string[])["###", "##b", "END", "ND.", "\n\n", "😀é", "bc", "abcd", " "]
    ).Array[0, 3];

    [Fact]
    public void In_which_pieces_an_answer_comes_changes_nothing() =>
        Gen.Select(Answers, Stops, Gen.Bool, Gen.Bool, Gen.Int[1, 7].Array[1, 40])
            .Sample(
                (text, stops, streamCalls, hasTools, sizes) =>
                {
                    var whole = Told([text]);

                    // Of bytes, so many at a time as tokens would bring; what is no whole character waits.
                    var (decoder, pieces, place) = (new StreamingDecoder(ScriptedChat.Bytes), new List<string>(), 0);
                    var bytes = Encoding.UTF8.GetBytes(text);
                    for (var i = 0; place < bytes.Length; i++)
                    {
                        var size = Math.Min(sizes[i % sizes.Length], bytes.Length - place);
                        pieces.Add(
                            string.Concat(bytes.AsSpan(place, size).ToArray().Select(value => decoder.Add(value)))
                        );
                        place += size;
                    }

                    Assert.Equal(whole, Told(pieces));
                    Assert.Equal(whole, Told(text.Select(c => c.ToString())));

                    (string, bool, string, string) Told(IEnumerable<string> given)
                    {
                        var stream = new AnswerStream(hasTools ? Tools : [], stops, streamCalls);
                        var (shown, calls) = (new StringBuilder(), new List<ToolCallPiece>());
                        foreach (var piece in given)
                        {
                            shown.Append(stream.Add(piece));
                            calls.AddRange(stream.TakeCalls());
                        }

                        shown.Append(stream.EndMessage());
                        calls.AddRange(stream.TakeCalls());
                        var said = shown.ToString();
                        Assert.Equal(said.Trim(), said);
                        Assert.Equal(
                            said,
                            string.Concat(
                                stream
                                    .Messages.Where(parsed => parsed.Call is null)
                                    .Select(parsed => parsed.Message.Content)
                            )
                        );
                        return (
                            said,
                            stream.Stopped,
                            string.Join(
                                '|',
                                stream.Messages.Select(parsed =>
                                    $"{parsed.Message.Metadata}/{parsed.Message.Content}/{parsed.Call}"
                                )
                            ),
                            string.Join(
                                '|',
                                calls
                                    .GroupBy(call => call.Index)
                                    .Select(call =>
                                        $"{call.First().Name}({string.Concat(call.Select(piece => piece.Arguments))})"
                                    )
                            )
                        );
                    }
                },
                iter: 20_000,
                seed: "0000KOIPe033"
            );

    [Theory]
    [InlineData("word ", "")]
    [InlineData(" ", "x")]
    [InlineData(" ", "get_weather")]
    [InlineData("\"a\", ", "get_weather\n{\"list\": [")]
    [InlineData("\"a\", ", "{\"name\": \"get_weather\", \"arguments\": {\"list\": [")]
    [InlineData(" ", "{\"name\"")]
    public void The_work_for_an_answer_grows_with_its_length_alone(string repeated, string first)
    {
        // A quadratic way would copy 20,000 pieces of 50,000 characters in the mean: gigabytes.
        var stream = new AnswerStream(Tools, ["###", "END"], streamCalls: true);
        stream.Add(first);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 20_000; i++)
        {
            stream.Add(repeated);
            stream.TakeCalls();
        }

        stream.EndMessage();
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 40_000_000);
    }
}
