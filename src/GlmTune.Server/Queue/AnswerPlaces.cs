namespace GlmTune.Server;

/// <summary>The places of a request's answers: each belongs to one answer from its beginning until it is
/// made.</summary>
/// <param name="first">Places that it has already.</param>
/// <param name="answers">How many answers it wants.</param>
/// <param name="enterMore">Waits for at least one of so many more.</param>
internal sealed class AnswerPlaces(
    IReadOnlyList<IDisposable> first,
    int answers,
    Func<int, CancellationToken, Task<IReadOnlyList<IDisposable>>> enterMore
) : IDisposable
{
    private readonly List<IDisposable> held = [.. first];

    /// <summary>Makes the answers, those together that have places at the same time.</summary>
    /// <param name="start">Starts answers: gets the first one's number, how many, and what ends them; gives the task of
    /// each.</param>
    /// <param name="cancellation">Ends all answers.</param>
    /// <returns>What the tasks give, in order. When it returns or throws, no answer is being made any more, and every
    /// place is given back.</returns>
    public async Task<T[]> MakeAsync<T>(
        Func<int, int, CancellationToken, IEnumerable<Task<T>>> start,
        CancellationToken cancellation
    )
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var tasks = new List<Task<T>>();
        try
        {
            var group = first;
            while (true)
            {
                tasks.AddRange(start(tasks.Count, group.Count, failed.Token).Zip(group, EndWithAsync));
                if (tasks.Count == answers)
                {
                    break;
                }

                group = await enterMore(answers - tasks.Count, failed.Token);
                held.AddRange(group);
            }
        }
#pragma warning disable CA1031 // It is thrown below, once every answer has ended.
        catch (Exception e)
#pragma warning restore CA1031
        {
            await failed.CancelAsync();
            tasks.Add(Task.FromException<T>(e));
        }

        try
        {
            return await Task.WhenAll(tasks);
        }
        finally
        {
            Dispose();
        }

        async Task<T> EndWithAsync(Task<T> answer, IDisposable place)
        {
            using (place)
            {
                try
                {
                    return await answer;
                }
                catch
                {
                    await failed.CancelAsync(); // One that fails ends the others: nobody will get them.
                    throw;
                }
            }
        }
    }

    /// <summary>Gives back what is still held.</summary>
    public void Dispose() => held.ForEach(place => place.Dispose());
}
