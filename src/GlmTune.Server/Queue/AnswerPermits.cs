namespace GlmTune.Server;

/// <summary>The permits of a request's answers; each answer holds one until it is finished.</summary>
/// <param name="first">Permits already held.</param>
/// <param name="answers">Number of answers requested.</param>
/// <param name="enterMore">Waits for at least one of a number of further permits.</param>
internal sealed class AnswerPermits(
    IReadOnlyList<IDisposable> first,
    int answers,
    Func<int, CancellationToken, Task<IReadOnlyList<IDisposable>>> enterMore
) : IDisposable
{
    private readonly List<IDisposable> held = [.. first];

    /// <summary>Generates the answers; those that have permits at the same time start together.</summary>
    /// <param name="start">Starts answers, given the index of the first, their number and a token that cancels them;
    /// returns a task for each.</param>
    /// <param name="cancellation">Cancels all answers.</param>
    /// <returns>Results of the tasks, in order. When this returns or throws, no answer is running, and every permit has
    /// been released.</returns>
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
#pragma warning disable CA1031 // Thrown below, after every answer has ended.
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

        async Task<T> EndWithAsync(Task<T> answer, IDisposable permit)
        {
            using (permit)
            {
                try
                {
                    return await answer;
                }
                catch
                {
                    await failed.CancelAsync(); // A failed answer cancels the others, because none can be returned.
                    throw;
                }
            }
        }
    }

    /// <summary>Releases the permits still held.</summary>
    public void Dispose() => held.ForEach(permit => permit.Dispose());
}
