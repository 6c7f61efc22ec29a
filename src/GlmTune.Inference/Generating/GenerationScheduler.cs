using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace GlmTune.Inference;

/// <summary>Answers prompts of many callers at the same time on a thread of its own: each enters the running batch as
/// soon as there is a place.</summary>
/// <remarks>Beam searches go on beside the batch, one at a time, pass by pass. Thread-safe. The answer to a request is
/// the same as <see cref="Generator.Generate"/> gives for it.</remarks>
public sealed class GenerationScheduler : IDisposable
{
    private readonly Generator generator;
    private readonly BlockingCollection<Submission[]> incoming = [];
    private readonly Dictionary<GenerationRow, Submission> entered = [];
    private readonly CancellationTokenSource closing = new();
    private readonly Thread worker;
    private GenerationQueue queue;

    /// <summary>Starts the thread.</summary>
    /// <param name="generator">What answers are made with.</param>
    public GenerationScheduler(Generator generator)
    {
        (this.generator, queue) = (generator, generator.NewQueue());
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
    public async IAsyncEnumerable<GeneratedToken> StreamAsync(
        GenerationRequest request,
        [EnumeratorCancellation] CancellationToken cancellation = default
    )
    {
        await foreach (var token in StreamAll([request], cancellation)[0].WithCancellation(cancellation))
        {
            yield return token;
        }
    }

    /// <summary>Continues prompts that come together, so that one that stands there several times is read
    /// once.</summary>
    /// <param name="requests">The prompts, and how. They are taken in at once.</param>
    /// <param name="cancellation">Ends all answers between two tokens.</param>
    /// <returns>For each request its tokens, to be enumerated once; ending an enumeration early ends that answer. One
    /// that is never begun runs until <paramref name="cancellation"/> or the end.</returns>
    /// <exception cref="ArgumentException">A prompt is empty or too long, or options are out of range.</exception>
    /// <exception cref="ObjectDisposedException">The scheduler was disposed; from the enumerations, where it was before
    /// the answer was whole.</exception>
    public IReadOnlyList<IAsyncEnumerable<GeneratedToken>> StreamAll(
        IReadOnlyList<GenerationRequest> requests,
        CancellationToken cancellation = default
    )
    {
        ObjectDisposedException.ThrowIf(closing.IsCancellationRequested, this);
        GenerationRow[] rows = [.. requests.Select(request => generator.NewRow(0, request))];
        Submission[] submissions =
        [
            .. rows.Select(row => new Submission(
                row,
                Channel.CreateUnbounded<GeneratedToken>(),
                CancellationTokenSource.CreateLinkedTokenSource(cancellation)
            )),
        ];
        incoming.Add(submissions, CancellationToken.None);
        if (closing.IsCancellationRequested)
        {
            // They may have come after the last look.
            FailAll(submissions, new ObjectDisposedException(nameof(GenerationScheduler)));
        }

        return [.. submissions.Select(submission => ReadAsync(submission, cancellation))];
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

    private sealed record Submission(
        GenerationRow Row,
        Channel<GeneratedToken> Tokens,
        CancellationTokenSource Abandoned
    )
    {
        public bool IsAbandoned => Abandoned.IsCancellationRequested;
    }

    private static async IAsyncEnumerable<GeneratedToken> ReadAsync(
        Submission submission,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        try
        {
            await foreach (var token in submission.Tokens.Reader.ReadAllAsync(cancellation))
            {
                yield return token;
            }
        }
        finally
        {
            await submission.Abandoned.CancelAsync();
            submission.Abandoned.Dispose();
        }
    }

    private void Work()
    {
        try
        {
            while (true)
            {
                if (!queue.HasWork)
                {
                    Enter(incoming.Take(closing.Token));
                }

                while (incoming.TryTake(out var next))
                {
                    Enter(next);
                }

                closing.Token.ThrowIfCancellationRequested();
                foreach (var row in entered.Where(pair => pair.Value.IsAbandoned).Select(pair => pair.Key).ToList())
                {
                    queue.Remove(row);
                    Complete(row, new OperationCanceledException());
                }

                Step();
            }
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            var error = new ObjectDisposedException(nameof(GenerationScheduler));
            FailAll(entered.Values, error);
            while (incoming.TryTake(out var left))
            {
                FailAll(left, error);
            }
        }
        finally
        {
            queue.Dispose();
        }
    }

    private void Enter(Submission[] submissions)
    {
        foreach (var submission in submissions)
        {
            entered.Add(submission.Row, submission);
            queue.Add(submission.Row);
        }
    }

    // A failed pass (out of memory, say) ends the answers that took part in it; the others go on.
    private void Step()
    {
        if (!queue.HasWork)
        {
            return;
        }

        try
        {
            queue.Step(
                (row, token) =>
                {
                    entered[row].Tokens.Writer.TryWrite(token);
                    if (row.Finished)
                    {
                        Complete(row, null);
                    }
                },
                Complete
            );
        }
        catch (PassFailedException e)
        {
            foreach (var row in e.Rows)
            {
                Complete(row, e.Cause);
            }
        }
        catch (Exception e)
        {
            // Nothing is known of the rows any more: later ones start afresh.
            FailAll(entered.Values, e);
            entered.Clear();
            queue = generator.NewQueue();
        }
    }

    private void Complete(GenerationRow row, Exception? error)
    {
        entered.Remove(row, out var submission);
        submission?.Tokens.Writer.TryComplete(error);
    }

    private static void FailAll(IEnumerable<Submission> submissions, Exception error)
    {
        foreach (var submission in submissions)
        {
            submission.Tokens.Writer.TryComplete(error);
        }
    }
}
