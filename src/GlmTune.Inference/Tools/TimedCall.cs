using System.Globalization;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>Runs a function and turns every outcome into an observation: its result, an error, or a timeout.</summary>
/// <param name="Limit">Time limit; null: none.</param>
/// <param name="MaxResultCharacters">Longer results are truncated, with a note of how much is missing.</param>
internal sealed record TimedCall(TimeSpan? Limit, int MaxResultCharacters)
{
    /// <summary>Runs a function.</summary>
    /// <param name="function">Code of others, which may fail with any exception.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellation">Cancels the wait.</param>
    /// <returns>Text for the model to read; never empty.</returns>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was requested.</exception>
    public async Task<string> RunAsync(
        AIFunction function,
        AIFunctionArguments arguments,
        CancellationToken cancellation
    )
    {
        ArgumentNullException.ThrowIfNull(function);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (Limit is { } limit)
        {
            limited.CancelAfter(limit);
        }

        try
        {
            // Runs on a thread of its own: a function that ignores its token is abandoned, and no call waits for a free
            // thread of the pool.
            var result = await Task
                .Factory.StartNew(
                    () => function.InvokeAsync(arguments, limited.Token).AsTask(),
                    limited.Token,
                    TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
                    TaskScheduler.Default
                )
                .Unwrap()
                .WaitAsync(limited.Token)
                .ConfigureAwait(false);
            return ToolResult.Shown(Cut(ChatMessages.Text(result)));
        }
        catch (OperationCanceledException)
            when (limited.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            return Cut(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Error: no result within {Limit!.Value.TotalSeconds:0.###} s."
                )
            );
        }
#pragma warning disable CA1031 // After any error, the model may try something else.
        catch (Exception e) when (!cancellation.IsCancellationRequested)
#pragma warning restore CA1031
        {
            return Cut($"Error: {e.Message}");
        }
    }

    private string Cut(string text)
    {
        if (text.Length <= MaxResultCharacters)
        {
            return text;
        }

        var end = MaxResultCharacters - (char.IsHighSurrogate(text[MaxResultCharacters - 1]) ? 1 : 0);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{text.AsSpan(0, end)}\n(truncated: {text.Length - end} more characters)"
        );
    }
}
