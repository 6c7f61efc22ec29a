using System.Text;
using CsCheck;

namespace GlmTune.Runs.Tests;

/// <summary>The log of a run: appended to, read while it grows, whole after any crash.</summary>
public sealed class RunLogTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private string LogPath => folder.At(RunLog.FileName);

    [Fact]
    public void What_is_written_is_read_in_order()
    {
        using (var log = RunLog.Open(folder.Path, doneSteps: 0, totalSteps: 2))
        {
            log.Step(1, [KeyValuePair.Create("loss", 2.5), KeyValuePair.Create("grad_norm", double.NaN)]);
            log.Answers(1, [new RunAnswer(7, "类型#裙", "<script>一条裙子", "裙子")]);
            log.End(RunState.Finished);
        }

        var lines = RunLogReader.Read(LogPath, 0).Lines;
        Assert.Equal(["start", "step", "answers", "end"], lines.Select(line => line.GetProperty("event").GetString()));
        Assert.Equal(2.5, lines[1].GetProperty("loss").GetDouble());
        Assert.False(lines[1].TryGetProperty("grad_norm", out _));
        Assert.Equal("<script>一条裙子", lines[2].GetProperty("answers")[0].GetProperty("answer").GetString());
    }

    [Fact]
    public void A_line_that_a_killed_run_left_half_written_is_passed_over_and_the_next_ones_are_read()
    {
        using (var log = RunLog.Open(folder.Path, 0, 9))
        {
            log.Step(1, [KeyValuePair.Create("loss", 2.0)]);
        }

        File.AppendAllText(LogPath, """{"event":"step","step":2,"los""");
        Assert.Equal(2, RunLogReader.Read(LogPath, 0).Lines.Count);
        using (var log = RunLog.Open(folder.Path, 1, 9))
        {
            log.Step(2, [KeyValuePair.Create("loss", 1.5)]);
        }

        Assert.Equal([2.0, 1.5], History().Curves["loss"].Select(point => point.Value));
    }

    [Fact]
    public void A_run_that_goes_on_from_a_checkpoint_forgets_the_steps_after_it()
    {
        using (var log = RunLog.Open(folder.Path, 0, 4))
        {
            for (var step = 1; step <= 3; step++)
            {
                log.Step(step, [KeyValuePair.Create("loss", 10.0 + step)]);
                log.Evaluation(step, [KeyValuePair.Create("eval_loss", 20.0 + step)]);
            }

            log.End(RunState.Failed, "out of memory");
        }

        Assert.Equal((RunState.Failed, "out of memory"), (History().End!.Value, History().Error));
        using (var log = RunLog.Open(folder.Path, doneSteps: 1, totalSteps: 4))
        {
            log.Step(2, [KeyValuePair.Create("loss", 5.0)]);
        }

        var history = History();
        Assert.Equal([new RunPoint(1, 11), new RunPoint(2, 5)], history.Curves["loss"]);
        Assert.Equal([new RunPoint(1, 21)], history.Curves["eval_loss"]);
        Assert.Null(history.End);
        Assert.Equal((2, 4), (history.Step, history.TotalSteps));
    }

    [Fact]
    public void Reading_by_pieces_of_any_size_gives_the_same_lines_as_reading_at_once()
    {
        var texts = Gen.String[Gen.Char.AlphaNumeric, 0, 40].Array[1, 12];
        Gen.Select(texts, Gen.Int[1, 50].Array[1, 8])
            .Sample(
                (notes, sizes) =>
                {
                    using var each = new TemporaryFolder();
                    var whole = Encoding.UTF8.GetBytes(
                        string.Concat(notes.Select(note => $$"""{"event":"note","text":"{{note}}"}""" + "\n"))
                    );
                    var path = each.At(RunLog.FileName);
                    File.WriteAllBytes(path, []);
                    var seen = new List<string?>();
                    var (written, next, turn) = (0, 0L, 0);
                    while (written < whole.Length)
                    {
                        var size = Math.Min(sizes[turn++ % sizes.Length], whole.Length - written);
                        using (var file = new FileStream(path, FileMode.Append))
                        {
                            file.Write(whole, written, size);
                        }

                        written += size;
                        var part = RunLogReader.Read(path, next);
                        Assert.Equal(next, part.From);
                        seen.AddRange(part.Lines.Select(line => line.GetProperty("text").GetString()));
                        next = part.Next;
                    }

                    Assert.Equal(notes, seen);
                },
                iter: 50,
                threads: 1
            );
    }

    [Fact]
    public void A_log_longer_than_one_part_is_read_to_its_end()
    {
        var line = $$"""{"event":"note","text":"{{new string('x', 1000)}}"}""" + "\n";
        var count = (RunLogReader.MaxBytes / line.Length * 2) + 10;
        File.WriteAllText(
            LogPath,
            string.Concat(Enumerable.Repeat(line, count))
                + $$"""{"event":"note","text":"{{new string('y', 3 * RunLogReader.MaxBytes)}}"}"""
                + "\n"
        );
        var (lines, next) = (0, 0L);
        for (RunLogPart? part = null; part is null || part.HasMore;)
        {
            part = RunLogReader.Read(LogPath, next);
            (lines, next) = (lines + part.Lines.Count, part.Next);
        }

        Assert.Equal(count + 1, lines);
        Assert.Equal(new FileInfo(LogPath).Length, next);
    }

    [Fact]
    public void A_file_that_is_shorter_than_before_is_another_one()
    {
        File.WriteAllText(LogPath, """{"event":"note","text":"new"}""" + "\n");
        var part = RunLogReader.Read(LogPath, 5000);
        Assert.Equal(0, part.From);
        Assert.Single(part.Lines);
    }

    [Theory]
    [InlineData("""{"event":"note","text":"\ud800"}""", "unpaired surrogate")]
    [InlineData("""{"event":"step","step":1,"loss":1,"loss":2}""", "duplicate key 'loss'")]
    [InlineData("""[1]""", "expected an object")]
    [InlineData("""{"event":"step","step":2,"los""", "has no closing")]
    public void A_damaged_line_is_skipped_and_reported_with_its_place(string line, string reason)
    {
        var before = """{"event":"start","step":0}""" + "\n";
        File.WriteAllText(LogPath, before + line + "\n" + """{"event":"step","step":1,"loss":3}""" + "\n");
        var part = RunLogReader.Read(LogPath, 0);
        Assert.Equal(2, part.Lines.Count);
        Assert.StartsWith(
            $"A damaged line was skipped, at byte {before.Length}: ",
            part.Problem,
            StringComparison.Ordinal
        );
        Assert.Contains(reason, part.Problem, StringComparison.Ordinal);
        File.WriteAllText(LogPath, before + string.Concat(Enumerable.Repeat(line + "\n", 3)));
        Assert.StartsWith(
            $"3 damaged lines were skipped, the first at byte {before.Length}: ",
            RunLogReader.Read(LogPath, 0).Problem,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_byte_that_is_not_text_damages_its_line_alone()
    {
        File.WriteAllBytes(
            LogPath,
            [.. """{"event":"step","step":1,"""u8, (byte)'"', 0xff, .. "\":1}\n{\"event\":\"end\"}\n"u8]
        );
        var part = RunLogReader.Read(LogPath, 0);
        Assert.Equal("end", Assert.Single(part.Lines).GetProperty("event").GetString());
        Assert.NotNull(part.Problem);
    }

    [Fact]
    public void Empty_lines_are_no_damage_and_many_lines_take_several_calls()
    {
        File.WriteAllText(LogPath, new string('\n', 100_000) + string.Concat(Enumerable.Repeat("{}\n", 25_000)));
        var first = RunLogReader.Read(LogPath, 0);
        Assert.Equal((RunLogReader.MaxLines, true, null), (first.Lines.Count, first.HasMore, first.Problem));
        var second = RunLogReader.Read(LogPath, first.Next);
        var third = RunLogReader.Read(LogPath, second.Next);
        Assert.Equal((5_000, false), (third.Lines.Count, third.HasMore));
    }

    [Theory]
    [InlineData(40L << 20)]
    [InlineData(3L << 30)] // beyond the longest array; a sparse file, so it takes no room
    public void A_line_that_is_too_long_is_skipped_to_its_end(long length)
    {
        using (var file = new FileStream(LogPath, FileMode.CreateNew))
        {
            file.SetLength(length);
            file.Position = length;
            file.Write("\n{\"event\":\"end\"}\n"u8);
        }

        var (at, calls, problems) = (0L, 0, 0);
        List<string?> events = [];
        RunLogPart part;
        do
        {
            part = RunLogReader.Read(LogPath, at);
            Assert.True(part.Next > at);
            (at, calls) = (part.Next, calls + 1);
            problems += part.Problem is null ? 0 : 1;
            events.AddRange(part.Lines.Select(line => line.GetProperty("event").GetString()));
        } while (part.HasMore);

        Assert.Equal(["end"], events);
        Assert.InRange(problems, 1, calls - 1);
        Assert.InRange(calls, 2, 20);
    }

    [Fact]
    public void A_long_line_without_an_end_is_not_read_again_by_the_next_call()
    {
        using (var file = new FileStream(LogPath, FileMode.CreateNew))
        {
            file.SetLength(20 << 20);
        }

        var part = RunLogReader.Read(LogPath, 0);
        Assert.Equal((20 << 20, false), (part.Next, part.HasMore));
    }

    public void Dispose() => folder.Dispose();

    private RunHistory History()
    {
        var history = new RunHistory();
        foreach (var line in RunLogReader.Read(LogPath, 0).Lines)
        {
            history.Add(line);
        }

        return history;
    }
}
