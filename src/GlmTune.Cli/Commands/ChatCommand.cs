using System.CommandLine;
using System.Text.Json.Serialization;
using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Chat.Tools;
using Microsoft.Extensions.AI;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune chat</c>: chats with a model, or asks it once.</summary>
internal static class ChatCommand
{
    public static Command Create(Screen screen)
    {
        var (chat, sampling, json) = (new ChatOptions(), new SamplingOptions(), Arguments.Json());
        var prompt = new Option<string?>("--prompt")
        {
            HelpName = "TEXT",
            Description = "ask this, print only the answer, and exit",
        };
        var system = new Option<string?>("--system") { HelpName = "TEXT", Description = "system prompt" };
        var tools = new Option<string?>("--tools")
        {
            HelpName = "FILE",
            Description = "JSON array of tools that the model may call",
        };
        var mcp = new Option<string?>("--mcp")
        {
            HelpName = "FILE",
            Description = "MCP servers (an 'mcpServers' file) whose tools the model may ask to run",
        };
        var allow = new Option<string[]>("--allow")
        {
            HelpName = "NAME",
            Description = "run this tool of --mcp without confirmation; repeatable",
            DefaultValueFactory = _ => [],
        };
        json.Description = "with --prompt: print the answer, its tool calls and token counts as JSON";
        var command = new Command("chat", "Chat with a model or an adapter; type exit or quit to end.")
        {
            prompt,
            system,
            tools,
            mcp,
            allow,
            json,
        };
        chat.AddTo(command);
        sampling.AddTo(command);
        command.Validators.Add(given =>
        {
            if (given.GetResult(prompt) is { Tokens: [{ Value: var asked }] } && string.IsNullOrWhiteSpace(asked))
            {
                given.AddError("--prompt: the prompt is empty.");
            }

            if (given.GetValue(json) && given.GetValue(prompt) is null)
            {
                given.AddError("--json requires --prompt.");
            }

            if (given.GetResult(allow) is { Implicit: false } && given.GetValue(mcp) is null)
            {
                given.AddError("--allow requires --mcp.");
            }
        });
        command.SetAction(
            async (given, stop) =>
            {
                var declared = given.GetValue(tools) is { } file ? ToolFile.Read(file) : [];
                if (given.GetValue(mcp) is { } servers)
                {
                    await UseToolsAsync(McpConfig.Read(servers), declared).ConfigureAwait(false);
                    return;
                }

                using var loaded = chat.Load(given, screen);
                var session = new ChatSession(loaded.Chat, given.GetValue(system), declared, sampling.Read(given));
                if (given.GetValue(prompt) is { } question)
                {
                    await AskOnceAsync(screen, session, question, given.GetValue(json), stop).ConfigureAwait(false);
                }
                else
                {
                    if (screen.InputIsTyped)
                    {
                        var model = loaded.Model.Model;
                        screen.Error.WriteLine($"on {ComputeDevice.Describe(model.Device, model.Type)}");
                    }

                    await TalkAsync(screen, session, stop).ConfigureAwait(false);
                }

                async Task UseToolsAsync(IReadOnlyList<McpServerConfig> configured, IReadOnlyList<ToolDefinition> typed)
                {
                    AIFunction[] typedFunctions = [.. typed.Select(tool => ToolChat.Typed(screen, tool))];
                    await using var connected = await McpServers.ConnectAsync(configured, stop).ConfigureAwait(false);
                    using var answering = chat.Load(given, screen);
                    var question = given.GetValue(prompt);
                    using var talk = new ToolChat(
                        screen,
                        answering.Client,
                        [.. connected.Functions, .. typedFunctions],
                        given.GetRequiredValue(allow),
                        talks: question is null
                    )
                    {
                        System = given.GetValue(system),
                        Generation = sampling.Read(given),
                    };
                    await (
                        question is null
                            ? talk.TalkAsync(stop)
                            : talk.AskOnceAsync(question, given.GetValue(json), stop)
                    ).ConfigureAwait(false);
                }
            }
        );
        return command;
    }

    private static async Task AskOnceAsync(
        Screen screen,
        ChatSession session,
        string question,
        bool json,
        CancellationToken stop
    )
    {
        try
        {
            await ShowAsync(
                    json ? TextWriter.Null : screen.Output,
                    session.AskAsync(question, stop),
                    () => session.LastAnswer!.Calls,
                    new ThoughtWriter(screen, json || !screen.IsTerminal ? null : screen.Error)
                )
                .ConfigureAwait(false);
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException(e.Message, e);
        }

        if (json)
        {
            var answer = session.LastAnswer!;
            screen.Output.WriteLine(
                JsonText.Of(
                    new AnswerJson(
                        answer.Text,
                        [.. answer.Calls.Select(call => new CallJson(call.Name, call.Arguments))],
                        answer.Finish == FinishReason.Length ? "length"
                            : answer.Calls.Count > 0 ? "tool_calls"
                            : "stop",
                        answer.PromptTokens,
                        answer.AnswerTokens
                    )
                    {
                        ReasoningContent = answer.Reasoning.Length > 0 ? answer.Reasoning : null,
                        ReasoningTokens = answer.ReasoningTokens > 0 ? answer.ReasoningTokens : null,
                    }
                )
            );
        }
    }

    /// <summary>Answers one line after another, until the input ends or the user types exit or quit.</summary>
    internal static async Task TalkAsync(Screen screen, ChatSession session, CancellationToken stop)
    {
        var pending = new Queue<ToolCall>();
        var commands = new SlashCommands(screen, session);
        if (screen.InputIsTyped)
        {
            screen.Lines.WriteLine("/help lists the commands; Ctrl-C stops an answer.");
        }

        while (true)
        {
            var call = pending.TryDequeue(out var called) ? called : null;
            var prompt = screen.Translated(call is null ? "You: " : $"Result of {TerminalText.Visible(call.Name)}: ");
            if (screen.InputIsTyped && screen.Editor is null)
            {
                screen.Output.Write(prompt);
            }

            // A read cannot be cancelled, but it can be abandoned: its thread does not keep the process alive.
            var line = await Task.Run(
                    () => screen.Editor is { } editor ? editor.Read(prompt) : screen.Input.ReadLine(),
                    CancellationToken.None
                )
                .WaitAsync(stop)
                .ConfigureAwait(false);
            if (line is null || line.Trim().ToUpperInvariant() is "EXIT" or "QUIT")
            {
                return;
            }

            if (line.Trim().Length == 0 && call is null)
            {
                continue;
            }

            if (call is null && commands.TryRun(line))
            {
                if (commands.Ends)
                {
                    return;
                }

                continue;
            }

            if (screen.InputIsTyped)
            {
                screen.Lines.Write("GLM-4: ");
            }

            using var interrupt = new AnswerInterrupt(stop);

            try
            {
                if (await AnswerAsync().ConfigureAwait(false))
                {
                    pending = new Queue<ToolCall>(session.LastAnswer!.Calls);
                }
            }
            catch (OperationCanceledException) when (!stop.IsCancellationRequested)
            {
                screen.Lines.WriteLine(" [stopped]");
                pending.Clear();
            }

            Task<bool> AnswerAsync() =>
                FullContext.AnswerAsync(
                    screen,
                    () =>
                        ShowAsync(
                            screen.Output,
                            call is null
                                ? session.AskAsync(line, interrupt.Token)
                                : session.ObserveAsync(line, interrupt.Token),
                            () => session.LastAnswer!.Calls,
                            new ThoughtWriter(screen, screen.Output)
                        ),
                    session.DropOldest,
                    stop
                );
        }
    }

    /// <summary>Writes an answer's text as it is generated, then its calls in the model's own format; neither can
    /// control the terminal.</summary>
    internal static async Task ShowAsync(
        TextWriter output,
        IAsyncEnumerable<AnswerText> pieces,
        Func<IReadOnlyList<ToolCall>> calls,
        ThoughtWriter thoughts
    )
    {
        var any = false;
        await foreach (var (text, isThought) in pieces.ConfigureAwait(false))
        {
            if (isThought)
            {
                await thoughts.WriteAsync(text).ConfigureAwait(false);
                continue;
            }

            await thoughts.EndAsync().ConfigureAwait(false);
            any = true;
            await output.WriteAsync(TerminalText.Lines(text)).ConfigureAwait(false);
            await output.FlushAsync().ConfigureAwait(false);
        }

        await thoughts.EndAsync().ConfigureAwait(false);

        foreach (var call in calls())
        {
            await output
                .WriteAsync(
                    $"{(any ? "\n" : "")}{TerminalText.Visible(call.Name)}\n{TerminalText.Lines(call.Arguments)}"
                )
                .ConfigureAwait(false);
            any = true;
        }

        await output.WriteLineAsync().ConfigureAwait(false);
    }

    private sealed record AnswerJson(
        string Text,
        IReadOnlyList<CallJson> ToolCalls,
        string FinishReason,
        int PromptTokens,
        int AnswerTokens
    )
    {
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public string? ReasoningContent { get; init; }

        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public int? ReasoningTokens { get; init; }
    }

    private sealed record CallJson(string Name, string Arguments);
}
