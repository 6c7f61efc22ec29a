using GlmTune.Model;

namespace GlmTune.Inference;

/// <summary>Prompts that are answered pass by pass: rows of a running batch, and beam searches one at a time beside
/// it.</summary>
/// <param name="model">What answers.</param>
/// <param name="vocabularySize">One past the highest id that may be produced.</param>
/// <param name="limits">How much is done at once.</param>
/// <param name="passes">Held during each pass: queues over one model share it.</param>
/// <remarks>Not thread-safe, but for <paramref name="passes"/>.</remarks>
internal sealed class GenerationQueue(ICausalLm model, int vocabularySize, GenerationLimits limits, Lock passes)
    : IDisposable
{
    private readonly ContinuousBatch batch = new(model, vocabularySize, limits);
    private readonly LinkedList<GenerationRow> searches = []; // The first one runs.
    private BeamSearch? search;

    /// <summary>Whether there is anything to do.</summary>
    public bool HasWork => batch.HasWork || searches.Count > 0;

    /// <summary>Rows that have not begun yet.</summary>
    public int WaitingCount => batch.WaitingCount + Math.Max(0, searches.Count - 1);

    /// <summary>Takes a prompt in.</summary>
    public void Add(GenerationRow row)
    {
        if (row.Beams > 1)
        {
            searches.AddLast(row);
        }
        else
        {
            batch.Add(row);
        }
    }

    /// <summary>Gives a prompt up.</summary>
    public void Remove(GenerationRow row)
    {
        if (row.Beams == 1)
        {
            batch.Remove(row);
        }
        else if (searches.First?.Value == row)
        {
            EndSearch();
        }
        else
        {
            searches.Remove(row);
        }
    }

    /// <summary>One pass of the batch and one of the first search. Rows that are finished or failed have left when it
    /// returns.</summary>
    /// <param name="emit">Gets each row that has a new token, and the token.</param>
    /// <param name="fail">Gets each row for which no token could be chosen, and why; the others go on.</param>
    /// <exception cref="PassFailedException">A pass failed. Its rows have left; the others continue with the next
    /// step.</exception>
    public void Step(Action<GenerationRow, GeneratedToken> emit, Action<GenerationRow, Exception> fail)
    {
        lock (passes)
        {
            if (batch.HasWork)
            {
                batch.Step(emit, fail);
            }

            if (searches.First is { Value: var row })
            {
                Advance(row, emit, fail);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        search?.Dispose();
        batch.Dispose();
    }

    private void Advance(
        GenerationRow row,
        Action<GenerationRow, GeneratedToken> emit,
        Action<GenerationRow, Exception> fail
    )
    {
        IReadOnlyList<Beam>? beams;
        try
        {
            search ??= new BeamSearch(model, vocabularySize, row);
            beams = search.Advance();
        }
        catch (InvalidOperationException e)
        {
            EndSearch();
            fail(row, e);
            return;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            EndSearch();
            throw new PassFailedException([row], e);
        }

        if (beams is null)
        {
            return;
        }

        EndSearch();
        foreach (var id in beams[0].Tokens)
        {
            emit(row, row.Accept(id));
        }
    }

    private void EndSearch()
    {
        search?.Dispose();
        search = null;
        searches.RemoveFirst();
    }
}
