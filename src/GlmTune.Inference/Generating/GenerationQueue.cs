using GlmTune.Model;

namespace GlmTune.Inference;

/// <summary>Answers prompts pass by pass: rows of a continuous batch, and beam searches one at a time beside
/// it.</summary>
/// <param name="model">The model.</param>
/// <param name="vocabularySize">Exclusive upper bound of the ids that may be generated.</param>
/// <param name="limits">Limits on concurrent generation.</param>
/// <param name="passes">Lock held during each pass; shared by all queues over one model.</param>
/// <param name="counts">Counts what the batch does; null: nobody asks.</param>
/// <remarks>Not thread-safe, except for <paramref name="passes"/>.</remarks>
internal sealed class GenerationQueue(
    ICausalLm model,
    int vocabularySize,
    GenerationLimits limits,
    Lock passes,
    GenerationCounts? counts = null
) : IDisposable
{
    private readonly ContinuousBatch batch = new(model, vocabularySize, limits, counts);
    private readonly LinkedList<GenerationRow> searches = []; // The first one runs.
    private BeamSearch? search;

    /// <summary>Whether there is any work.</summary>
    public bool HasWork => batch.HasWork || searches.Count > 0;

    /// <summary>Number of rows that have not started yet.</summary>
    public int WaitingCount => batch.WaitingCount + Math.Max(0, searches.Count - 1);

    /// <summary>Adds a prompt.</summary>
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

    /// <summary>Removes a prompt.</summary>
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

    /// <summary>Runs one pass of the batch and one of the first beam search. Rows that have finished or failed are
    /// removed before it returns.</summary>
    /// <param name="emit">Called for each row with its new token.</param>
    /// <param name="fail">Called for each row for which no token could be selected, with the error; other rows
    /// continue.</param>
    /// <exception cref="PassFailedException">A pass failed. Its rows have been removed; the others continue with the
    /// next step.</exception>
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
