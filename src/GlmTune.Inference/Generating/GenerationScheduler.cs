using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace GlmTune.Inference;

/// <summary>Answers prompts of many concurrent callers on a thread of its own: each enters the running batch as soon as
/// a slot is free.</summary>
/// <remarks>Beam searches run beside the batch, one at a time, pass by pass. Thread-safe. Answers are the same as those
/// of <see cref="Generator.Generate"/>.</remarks>
internal sealed class GenerationScheduler : IDisposable
{
    private readonly Generator generator;
    private readonly BlockingCollection<Submission[]> incoming = [];
    private readonly Dictionary<GenerationRow, Submission> entered = [];
    private readonly CancellationTokenSource closing = new();
    private readonly Thread worker;
    private GenerationQueue queue;

    /// <summary>Starts the thread.</summary>
    /// <param name="generator">The generator.</param>
    public GenerationScheduler(Generator generator)
    {
        (this.generator, queue) = (generator, generator.NewQueue(counts: Counts));
        worker = new Thread(Work) { IsBackground = true, Name = "generation" };
        worker.Start();
    }

    /// <summary>The generator.</summary>
    public Generator Generator => generator;

    /// <summary>What the batch has done so far, and how full its cache is.</summary>
    public GenerationCounts Counts { get; } = new();

    /// <summary>Continues a prompt token by token; ending the enumeration early cancels the answer.</summary>
    /// <param name="request">The prompt and its options.</param>
    /// <param name="cancellation">Cancels the answer between two tokens.</param>
    /// <exception cref="ArgumentException">The prompt is empty or too long, or options are out of range.</exception>
    /// <exception cref="ObjectDisposedException">The scheduler was disposed before the answer was complete.</exception>
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

    /// <summary>Continues several prompts together, so that equal prompts are processed once.</summary>
    /// <param name="requests">The prompts with their options; all are queued at once.</param>
    /// <param name="cancellation">Cancels all answers between two tokens.</param>
    /// <returns>For each request its tokens; each must be enumerated once, and ending an enumeration early cancels that
    /// answer. One that is never enumerated runs until <paramref name="cancellation"/> or its end.</returns>
    /// <exception cref="ArgumentException">A prompt is empty or too long, or options are out of range.</exception>
    /// <exception cref="ObjectDisposedException">The scheduler was disposed; thrown from the enumerations if that
    /// happened before the answer was complete.</exception>
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
            // They may have arrived since the last check.
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

    // A failed pass (for example out of memory) ends the answers of its rows; the others continue.
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
            // The state of the rows is unknown; later ones start with a new queue.
            FailAll(entered.Values, e);
            entered.Clear();
            queue = generator.NewQueue(counts: Counts);
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
