using System.Globalization;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>Runs a function and makes an observation of whatever comes of it: the result, what went wrong, or that it
/// took too long.</summary>
/// <param name="Limit">How long is waited; null: until it is there.</param>
/// <param name="MaxResultCharacters">Longer results are cut, with a note that says how much is missing.</param>
public sealed record TimedCall(TimeSpan? Limit, int MaxResultCharacters)
{
    /// <summary>Runs a function.</summary>
    /// <param name="function">Others' code, which may fail of anything.</param>
    /// <param name="arguments">What it gets.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>Text for the model to read; never empty.</returns>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was asked for.</exception>
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
            // On a thread of its own: one that does not look at its token is left behind, and none waits until the pool
            // has a thread to spare.
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
#pragma warning disable CA1031 // A model may try something else after any error.
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
