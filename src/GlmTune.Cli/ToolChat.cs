using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Inference;
using Microsoft.Extensions.AI;
using AskedOptions = Microsoft.Extensions.AI.ChatOptions;

namespace GlmTune.Cli;

/// <summary>A chat at the terminal in which the model may call functions; each call is shown and runs after
/// confirmation.</summary>
internal sealed class ToolChat : IDisposable
{
    private const int ShownCharacters = 600;
    private readonly Screen screen;
    private readonly IChatClient client;
    private readonly TextWriter remarks;
    private readonly bool talks;
    private readonly bool canAsk;
    private readonly HashSet<string> allowed;
    private readonly ToolLoop loop;
    private readonly AskedOptions options;
    private readonly List<ChatMessage> history = [];
    private readonly List<(string Name, string Arguments, string Result)> calls = [];
    private bool shown;

    /// <param name="screen">The user's terminal.</param>
    /// <param name="client">The chat client; disposed with this.</param>
    /// <param name="functions">Functions that the model may call.</param>
    /// <param name="allowed">Names of those that run without confirmation.</param>
    /// <param name="talks">Whether the user types one message after another. Otherwise calls are printed as notes, and
    /// confirmation is requested only on a terminal.</param>
    /// <param name="callTimeout">Time limit of a call that needs no typed result; null for the default.</param>
    /// <exception cref="InvalidDataException">Two functions have the same name, or an allowed name does not
    /// exist.</exception>
    public ToolChat(
        Screen screen,
        IChatClient client,
        IReadOnlyList<AIFunction> functions,
        IReadOnlyCollection<string> allowed,
        bool talks,
        TimeSpan? callTimeout = null
    )
    {
        (this.screen, this.client, this.talks, remarks, canAsk, this.allowed) = (
            screen,
            client,
            talks,
            talks ? screen.Output : screen.Error,
            talks || screen.InputIsTyped,
            [.. allowed]
        );
        var names = functions.Select(function => function.Name).ToList();
        if (names.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new InvalidDataException($"Two tools are named '{twice.Key}'; remove one of them.");
        }

        if (allowed.Except(names).ToList() is { Count: > 0 } unknown)
        {
            throw new InvalidDataException(
                $"--allow {string.Join(", ", unknown)}: unknown tool; available: {string.Join(", ", names)}."
            );
        }

        options = new AskedOptions { Tools = [.. functions] };
        loop = new ToolLoop(
            client,
            new ToolLoopOptions
            {
                Allowed = this.allowed,
                CallTimeout = callTimeout ?? new ToolLoopOptions().CallTimeout,
                Untimed = [.. functions.OfType<TypedFunction>().Select(function => function.Name)],
                Confirm = ConfirmAsync,
                OnCall = use => Show(use, "running"),
                OnResult = ShowResult,
            }
        );
    }

    /// <summary>The system prompt; null for none.</summary>
    public string? System
    {
        get => options.Instructions;
        init => options.Instructions = value;
    }

    /// <summary>Sampling options.</summary>
    public GenerationOptions Generation
    {
        init => options.RawRepresentationFactory = _ => value;
    }

    /// <summary>Declares a tool without an implementation: the user types its results.</summary>
    /// <exception cref="InvalidDataException">It is a built-in tool of the model.</exception>
    public static AIFunction Typed(Screen screen, ToolDefinition tool) =>
        tool.Type == "function"
            ? new TypedFunction(screen, tool)
            : throw new InvalidDataException(
                $"The built-in tool '{tool.Name}' cannot be declared together with MCP servers, which offer "
                    + "only functions."
            );

    /// <summary>Asks one question.</summary>
    /// <param name="question">The question.</param>
    /// <param name="json">Whether to print the answer with its calls and token counts as JSON.</param>
    /// <param name="stop">Cancels it.</param>
    public async Task AskOnceAsync(string question, bool json, CancellationToken stop)
    {
        var response = await AskAsync(question, json ? TextWriter.Null : screen.Output, stop).ConfigureAwait(false);
        if (json)
        {
            screen.Output.WriteLine(
                JsonText.Of(
                    new
                    {
                        Text = response.Messages.LastOrDefault()?.Text ?? "",
                        ToolCalls = calls.Select(call => new
                        {
                            call.Name,
                            call.Arguments,
                            call.Result,
                        }),
                        FinishReason = response.FinishReason?.Value,
                        PromptTokens = response.Usage?.InputTokenCount,
                        AnswerTokens = response.Usage?.OutputTokenCount,
                    }
                )
            );
        }
    }

    /// <summary>Answers one line after another, until the input ends or the user types exit or quit.</summary>
    public async Task TalkAsync(CancellationToken stop)
    {
        while (true)
        {
            var line = await ReadLineAsync(screen, screen.InputIsTyped ? "You: " : "", stop).ConfigureAwait(false);
            if (line is null || line.Trim().ToUpperInvariant() is "EXIT" or "QUIT")
            {
                return;
            }

            if (line.Trim().Length > 0)
            {
                screen.Lines.Write(screen.InputIsTyped ? "GLM-4: " : "");
                await FullContext
                    .AnswerAsync(screen, () => AskAsync(line, screen.Output, stop), DropOldest, stop)
                    .ConfigureAwait(false);
            }
        }
    }

    public void Dispose() => loop.Dispose();

    // An interrupted answer leaves the history unchanged.
    private async Task<ChatResponse> AskAsync(string text, TextWriter output, CancellationToken stop)
    {
        var said = new ChatMessage(ChatRole.User, text);
        var updates = new List<ChatResponseUpdate>();
        shown = false;
        CheckRoom(said);
        var thoughts = new ThoughtWriter(screen, talks || screen.IsTerminal ? remarks : null);
        await foreach (
            var update in loop.GetStreamingResponseAsync([.. history, said], options, stop).ConfigureAwait(false)
        )
        {
            updates.Add(update);
            foreach (var thought in update.Contents.OfType<TextReasoningContent>())
            {
                await thoughts.WriteAsync(thought.Text).ConfigureAwait(false);
            }

            if (update.Role != ChatRole.Tool && update.Text.Length > 0)
            {
                shown = true;
                await thoughts.EndAsync().ConfigureAwait(false);
                await output.WriteAsync(TerminalText.Lines(update.Text)).ConfigureAwait(false);
                await output.FlushAsync(stop).ConfigureAwait(false);
            }
        }

        await thoughts.EndAsync().ConfigureAwait(false);
        await output.WriteLineAsync().ConfigureAwait(false);
        var response = updates.ToChatResponse();
        history.Add(said);
        history.AddRange(response.Messages);
        return response;
    }

    private void CheckRoom(ChatMessage said)
    {
        if (client.GetService(typeof(GlmChatClient)) is not GlmChatClient own)
        {
            return;
        }

        var limit = own.ContextLimit(options);
        var tokens = own.CountPromptTokens([.. history, said], options);
        if (tokens >= limit)
        {
            throw new ConversationTooLongException(
                tokens,
                limit,
                ConversationTooLongException.FewestTurns(
                    history.Count(message => message.Role == ChatRole.User),
                    dropped => own.CountPromptTokens([.. history.Skip(EndOfTurn(dropped)), said], options),
                    limit,
                    limit
                )
            );
        }
    }

    private void DropOldest(int turns) => history.RemoveRange(0, EndOfTurn(turns));

    // How many messages the first so many turns have.
    private int EndOfTurn(int turns) =>
        history
            .Index()
            .Where(each => each.Item.Role == ChatRole.User)
            .Select(each => each.Index)
            .Append(history.Count)
            .ElementAt(turns);

    private async Task<bool> ConfirmAsync(ToolUse use, CancellationToken stop)
    {
        Show(use, canAsk ? "asks to run" : "not allowed (--allow)");
        if (!canAsk)
        {
            return false;
        }

        var answer = await ReadLineAsync(
                screen with
                {
                    Output = remarks,
                },
                $"  Run it? y (yes), n (no), a (always {use.Name}): ",
                stop
            )
            .ConfigureAwait(false);
        switch (answer?.Trim().ToUpperInvariant())
        {
            case "A" or "ALWAYS":
                allowed.Add(use.Name);
                return true;
            case "Y" or "YES":
                return true;
            default:
                return false;
        }
    }

    private void Show(ToolUse use, string what)
    {
        if (what == "running" && !allowed.Contains(use.Name))
        {
            return; // Already shown with the question.
        }

        remarks.WriteLine(
            $"{(shown ? "\n" : "")}[{screen.Translated(what)}] {TerminalText.Visible(use.Name)} "
                + $"{TerminalText.Visible(use.Arguments)}"
        );
        shown = false;
    }

    private void ShowResult(ToolUse use, string result)
    {
        calls.Add((use.Name, use.Arguments, result));
        remarks.WriteLine(
            $"[{screen.Translated("result")}] "
                + $"{TerminalText.Visible(result.Length > ShownCharacters ? $"{result[..ShownCharacters]} …" : result)}"
        );
    }

    // A read cannot be cancelled, but it can be abandoned: its thread does not keep the process alive.
    private static async Task<string?> ReadLineAsync(Screen screen, string prompt, CancellationToken stop)
    {
        screen.Output.Write(screen.Translated(prompt));
        screen.Output.Flush();
        return await Task.Run(screen.Input.ReadLine, CancellationToken.None).WaitAsync(stop).ConfigureAwait(false);
    }

    private sealed class TypedFunction(Screen screen, ToolDefinition tool) : AIFunction
    {
        private readonly JsonElement function = JsonDocument.Parse(tool.Json).RootElement;

        public override string Name => tool.Name;

        public override string Description =>
            function.TryGetProperty("description", out var text) && text.ValueKind == JsonValueKind.String
                ? text.GetString()!
                : "";

        public override JsonElement JsonSchema =>
            function.TryGetProperty("parameters", out var schema) ? schema : base.JsonSchema;

        protected override async ValueTask<object?> InvokeCoreAsync(
            AIFunctionArguments arguments,
            CancellationToken cancellationToken
        ) =>
            await ReadLineAsync(screen, $"  Result of {TerminalText.Visible(Name)}: ", cancellationToken)
                .ConfigureAwait(false)
            ?? "";
    }
}
