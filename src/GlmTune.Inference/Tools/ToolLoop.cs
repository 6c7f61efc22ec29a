using System.Globalization;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>A chat client that runs the calls requested by the model and lets it continue, up to a limit. Nothing runs
/// without permission.</summary>
/// <remarks>The functions are those in each request's <see cref="ChatOptions.Tools"/>; calls run one after another. A
/// call that fails, times out or is refused becomes an observation that says so, to which the model can react.
/// Thread-safe if the delegates in its options are.</remarks>
public sealed class ToolLoop : FunctionInvokingChatClient
{
    private readonly ToolLoopOptions options;

    /// <param name="inner">The client that answers; disposed with this object.</param>
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
    protected override async ValueTask<object?> InvokeFunctionAsync(
        FunctionInvocationContext context,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(context);
        var use = new ToolUse(context.Function, ChatMessages.Json(new Dictionary<string, object?>(context.Arguments)));
        var within = CallsOf(context.Messages) + context.FunctionCallIndex < options.MaxCalls;
        var allowed =
            within
            && (
                options.Allowed.Contains(use.Name)
                || (options.Confirm is { } confirm && await confirm(use, cancellationToken).ConfigureAwait(false))
            );
        var observation = within
            ? "Error: the user did not allow this call."
            : string.Create(CultureInfo.InvariantCulture, $"Error: a turn may have at most {options.MaxCalls} calls.");
        if (allowed)
        {
            options.OnCall?.Invoke(use);
            var call = new TimedCall(
                options.Untimed.Contains(use.Name) ? null : options.CallTimeout,
                options.MaxResultCharacters
            );
            observation = await call.RunAsync(context.Function, context.Arguments, cancellationToken)
                .ConfigureAwait(false);
        }

        options.OnResult?.Invoke(use, observation);
        return observation;
    }

    // Calls of this turn: results since the last user message.
    private static int CallsOf(IEnumerable<ChatMessage> messages) =>
        messages
            .Reverse()
            .TakeWhile(message => message.Role != ChatRole.User)
            .Sum(message => message.Contents.OfType<FunctionResultContent>().Count());

    // Removes the tools after the last allowed call.
    private sealed class Limited(IChatClient inner, int mostCalls) : DelegatingChatClient(inner)
    {
        public override Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        )
        {
            var asked = messages.ToList();
            return base.GetResponseAsync(asked, Left(asked, options), cancellationToken);
        }

        public override IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        )
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
