using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace GlmTune.Inference;

/// <summary>Answers prompts of many callers at the same time on a thread of its own: each enters the running batch as soon as there is a place.</summary>
/// <remarks>Thread-safe. The answer to a request is the same as <see cref="Generator.Generate"/> gives for it.</remarks>
public sealed class GenerationScheduler : IDisposable
{
    private readonly Generator generator;
    private readonly BlockingCollection<Submission> incoming = [];
    private readonly Dictionary<GenerationRow, Submission> entered = [];
    private readonly CancellationTokenSource closing = new();
    private readonly Thread worker;

    /// <summary>Starts the thread.</summary>
    /// <param name="generator">What answers are made with.</param>
    public GenerationScheduler(Generator generator)
    {
        this.generator = generator;
        worker = new Thread(Work) { IsBackground = true, Name = "generation" };
        worker.Start();
    }

    /// <summary>What answers are made with.</summary>
    public Generator Generator => generator;

    /// <summary>Continues a prompt, token by token; ending the enumeration early ends the answer.</summary>
    /// <param name="request">The prompt, and how.</param>
    /// <param name="cancellation">Ends the answer between two tokens.</param>
    /// <exception cref="ArgumentException">The prompt is empty or too long, or options are out of range.</exception>
    /// <exception cref="ObjectDisposedException">The scheduler was disposed before the answer was whole.</exception>
    public async IAsyncEnumerable<GeneratedToken> StreamAsync(GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(closing.IsCancellationRequested, this);
        using var abandoned = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var submission = new Submission(generator.NewRow(0, request), Channel.CreateUnbounded<GeneratedToken>(), abandoned.Token);
        incoming.Add(submission, CancellationToken.None);
        if (closing.IsCancellationRequested)
        {
            submission.Tokens.Writer.TryComplete(new ObjectDisposedException(nameof(GenerationScheduler)));   // It may have come after the last look.
        }

        try
        {
            await foreach (var token in submission.Tokens.Reader.ReadAllAsync(cancellation))
            {
                yield return token;
            }
        }
        finally
        {
            await abandoned.CancelAsync();
        }
    }

    /// <summary>Ends the thread; unfinished answers throw.</summary>
    public void Dispose()
    {
        if (closing.IsCancellationRequested)
        {
            return;
        }

        closing.Cancel();
        worker.Join();
    }

    private sealed record Submission(GenerationRow Row, Channel<GeneratedToken> Tokens, CancellationToken Abandoned);

    private void Work()
    {
        var batch = generator.NewBatch();
        try
        {
            while (true)
            {
                if (!batch.HasWork)
                {
                    Enter(batch, incoming.Take(closing.Token));
                }

                while (incoming.TryTake(out var next))
                {
                    Enter(batch, next);
                }

                closing.Token.ThrowIfCancellationRequested();
                foreach (var (row, submission) in entered.Where(pair => pair.Value.Abandoned.IsCancellationRequested).ToList())
                {
                    batch.Remove(row);
                    entered.Remove(row);
                    submission.Tokens.Writer.TryComplete(new OperationCanceledException(submission.Abandoned));
                }

                if (batch.HasWork && !TryStep(batch))
                {
                    batch.Dispose();
                    batch = generator.NewBatch();
                }
            }
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            FailAll(new ObjectDisposedException(nameof(GenerationScheduler)));
        }
        finally
        {
            batch.Dispose();
        }
    }

    private void Enter(ContinuousBatch batch, Submission submission)
    {
        if (submission.Row.Beams == 1)
        {
            entered.Add(submission.Row, submission);
            batch.Add(submission.Row);
            return;
        }

        try
        {
            generator.SearchBeams(submission.Row, (_, token) => submission.Tokens.Writer.TryWrite(token), submission.Abandoned);
            submission.Tokens.Writer.TryComplete();
        }
        catch (Exception e)
        {
            submission.Tokens.Writer.TryComplete(e);
        }
    }

    // A failed pass (out of memory, say) fails the answers that took part in it; later ones start afresh.
    private bool TryStep(ContinuousBatch batch)
    {
        try
        {
            generator.Step(
                batch,
                (row, token) =>
                {
                    entered[row].Tokens.Writer.TryWrite(token);
                    if (row.Finished)
                    {
                        Complete(row, null);
                    }
                },
                Complete);
            return true;
        }
        catch (Exception e)
        {
            foreach (var submission in entered.Values)
            {
                submission.Tokens.Writer.TryComplete(e);
            }

            entered.Clear();
            return false;
        }
    }

    private void Complete(GenerationRow row, Exception? error)
    {
        entered.Remove(row, out var submission);
        submission?.Tokens.Writer.TryComplete(error);
    }

    private void FailAll(Exception error)
    {
        while (incoming.TryTake(out var submission))
        {
            submission.Tokens.Writer.TryComplete(error);
        }

        foreach (var submission in entered.Values)
        {
            submission.Tokens.Writer.TryComplete(error);
        }
    }
}
