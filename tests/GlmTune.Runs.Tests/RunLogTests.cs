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
