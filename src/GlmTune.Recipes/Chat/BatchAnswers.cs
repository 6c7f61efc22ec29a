using System.Text;
using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>The result of a batch.</summary>
/// <param name="Rows">Number of input rows.</param>
/// <param name="Answered">Number of rows answered by this run.</param>
/// <param name="Failed">Number of output rows with an error instead of an answer, including those of earlier
/// runs.</param>
internal sealed record BatchReport(int Rows, int Answered, int Failed);

/// <summary>Answers every conversation of a file into another file, in order; resumes where an earlier run
/// stopped.</summary>
/// <remarks>
/// The output has for each row its <c>line</c> (and <c>entry</c> in a JSON array), the <c>prediction</c>, the
/// <c>label</c> if the row has one, <c>tool_calls</c> if there are any, the <c>finish_reason</c>, and a <c>digest</c>
/// of what the answer depends on. Rows that already exist are not answered again. A row that cannot be answered, for
/// example because its prompt is too long, has a null <c>prediction</c> and an <c>error</c>; the others are answered.
/// Failures of the machine, such as a lack of memory, end the run.
/// </remarks>
internal static class BatchAnswers
{
    // Conversations in progress; more than are decoded together, so that one long answer delays few.
    private const int Ahead = 64;

    /// <summary>Runs the batch.</summary>
    /// <param name="model">The chat model.</param>
    /// <param name="plan">The rows and the output, read with the files of the same model.</param>
    /// <param name="progress">Called with the number of finished rows and the total.</param>
    /// <param name="stop">Stops the batch; rows answered so far are in the output.</param>
    /// <exception cref="InvalidDataException">The output was changed by others since the plan was made; it is
    /// unchanged.</exception>
    public static async Task<BatchReport> RunAsync(
        ChatModel model,
        BatchPlan plan,
        Action<int, int>? progress = null,
        CancellationToken stop = default
    )
    {
        var (rows, digests) = (plan.Rows, plan.Digests);
        Disk.CreateFolder(Path.GetDirectoryName(Path.GetFullPath(plan.Output))!);
        using var file = new DiskFile(plan.Output, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        var (done, failed, end) = plan.Overwrite ? (0, 0, 0) : BatchOutput.FindEnd(file, plan.Output, rows, digests);
        file.SetLength(end);
        file.Position = end;
        var answered = 0;
        using var abandoned = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var (next, pending) = (done, new Queue<Task<(ChatAnswer? Answer, string? Error)>>());
        try
        {
            for (var row = done; row < rows.Count; row++)
            {
                for (; next < rows.Count && pending.Count < Ahead; next++)
                {
                    pending.Enqueue(AnswerAsync(model, rows[next], plan.Options, abandoned.Token));
                }

                var (answer, error) = await pending.Dequeue().ConfigureAwait(false);
                var line = answer is null
                    ? BatchOutput.ToLine(rows[row], error!, digests[row])
                    : BatchOutput.ToLine(rows[row], answer, digests[row]);
                (answered, failed) = (answered + (answer is null ? 0 : 1), failed + (answer is null ? 1 : 0));
                await file.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"), CancellationToken.None)
                    .ConfigureAwait(false);
                progress?.Invoke(row + 1, rows.Count);
            }
        }
        finally
        {
            await abandoned.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(pending).ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
        }

        file.FlushToDisk();
        return new BatchReport(rows.Count, answered, failed);
    }

    // An answer, or why the row cannot have one.
    private static async Task<(ChatAnswer? Answer, string? Error)> AnswerAsync(
        ChatModel model,
        ConversationRow row,
        GenerationOptions options,
        CancellationToken stop
    )
    {
        var request = new ChatRequest(BatchOutput.Question(row))
        {
            Options = options with { Seed = options.Seed + row.Place.Number },
        };
        try
        {
            return (await model.AnswerAsync(request, stop).ConfigureAwait(false), null);
        }
        catch (Exception e) when (e is ArgumentException or InvalidDataException or NoTokenException)
        {
            return (null, e.Message);
        }
    }
}
