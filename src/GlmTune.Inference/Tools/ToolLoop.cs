using System.Globalization;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>A chat client that makes the calls that the model asks for and lets it go on, up to a number of times: nothing runs that was not allowed.</summary>
/// <remarks>
/// Functions come with each request's <see cref="ChatOptions.Tools"/>, one after the other. A call that fails, takes too long or is refused becomes an
/// observation that says so, which the model may react to. Thread-safe as far as its options' delegates are.
/// </remarks>
public sealed class ToolLoop : FunctionInvokingChatClient
{
    private readonly ToolLoopOptions options;

    /// <param name="inner">What answers; disposed with this.</param>
    /// <param name="options">What the model may do.</param>
    /// <exception cref="ArgumentException">A limit is not positive.</exception>
    public ToolLoop(IChatClient inner, ToolLoopOptions? options = null)
        : base(new Limited(inner, options?.MaxCalls ?? new ToolLoopOptions().MaxCalls))
    {
        this.options = options ?? new ToolLoopOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(this.options.MaxCalls, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(this.options.MaxResultCharacters, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(this.options.CallTimeout, TimeSpan.Zero);
        MaximumIterationsPerRequest = this.options.MaxCalls;
        MaximumConsecutiveErrorsPerRequest = this.options.MaxCalls;
    }

    /// <inheritdoc/>
    protected override async ValueTask<object?> InvokeFunctionAsync(FunctionInvocationContext context, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(context);
        var use = new ToolUse(context.Function, ChatMessages.Json(new Dictionary<string, object?>(context.Arguments)));
        var within = CallsOf(context.Messages) + context.FunctionCallIndex < options.MaxCalls;
        var allowed = within && (options.Allowed.Contains(use.Name)
            || (options.Confirm is { } confirm && await confirm(use, cancellationToken).ConfigureAwait(false)));
        var observation = within ? "Error: the user did not allow this call."
            : string.Create(CultureInfo.InvariantCulture, $"Error: a turn has at most {options.MaxCalls} calls.");
        if (allowed)
        {
            options.OnCall?.Invoke(use);
            observation = ToolResult.Shown(Cut(await RunAsync(context, cancellationToken).ConfigureAwait(false)));
        }

        options.OnResult?.Invoke(use, observation);
        return observation;
    }

    private async Task<string> RunAsync(FunctionInvocationContext context, CancellationToken cancellation)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (!options.Untimed.Contains(context.Function.Name))
        {
            limited.CancelAfter(options.CallTimeout);
        }

        try
        {
            // On a thread of its own, so that one that does not look at its token can be left behind.
            var result = await Task.Run(() => context.Function.InvokeAsync(context.Arguments, limited.Token).AsTask(), limited.Token)
                .WaitAsync(limited.Token).ConfigureAwait(false);
            return ChatMessages.Text(result);
        }
        catch (OperationCanceledException) when (limited.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            return string.Create(CultureInfo.InvariantCulture, $"Error: no result within {options.CallTimeout.TotalSeconds:0.###} s.");
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            return $"Error: {e.Message}";
        }
    }

    // Those of the turn: results since the user said something.
    private static int CallsOf(IEnumerable<ChatMessage> messages) =>
        messages.Reverse().TakeWhile(message => message.Role != ChatRole.User).Sum(message => message.Contents.OfType<FunctionResultContent>().Count());

    private string Cut(string text)
    {
        if (text.Length <= options.MaxResultCharacters)
        {
            return text;
        }

        var end = options.MaxResultCharacters - (char.IsHighSurrogate(text[options.MaxResultCharacters - 1]) ? 1 : 0);
        return string.Create(CultureInfo.InvariantCulture, $"{text.AsSpan(0, end)}\n(cut: {text.Length - end} more characters)");
    }

    // Takes the tools away after the last call.
    private sealed class Limited(IChatClient inner, int mostCalls) : DelegatingChatClient(inner)
    {
        public override Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
        {
            var asked = messages.ToList();
            return base.GetResponseAsync(asked, Left(asked, options), cancellationToken);
        }

        public override IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
        {
            var asked = messages.ToList();
            return base.GetStreamingResponseAsync(asked, Left(asked, options), cancellationToken);
        }

        private ChatOptions? Left(List<ChatMessage> messages, ChatOptions? options)
        {
            if (options?.Tools is not { Count: > 0 } || CallsOf(messages) < mostCalls)
            {
                return options;
            }

            var without = options.Clone();
            (without.Tools, without.ToolMode) = (null, null);
            return without;
        }
    }
}
