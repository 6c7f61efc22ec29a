using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Cli;

/// <summary>The commands of a conversation: lines that begin with a slash, and are not sent to the model.</summary>
/// <param name="screen">The user's terminal.</param>
/// <param name="session">The conversation.</param>
internal sealed class SlashCommands(Screen screen, ChatSession session)
{
    private static readonly (string Name, string Use, string Purpose)[] All =
    [
        ("/help", "/help", "show these commands"),
        ("/clear", "/clear", "start a new conversation"),
        ("/system", "/system [TEXT]", "show the system prompt, or set it and start a new conversation"),
        ("/save", "/save FILE", "write the conversation as a row of training data (JSON Lines)"),
        ("/exit", "/exit", "end the program; so do exit and quit"),
    ];

    /// <summary>Runs a line if it is a command.</summary>
    /// <returns>Whether it was one; the conversation ends if <see cref="Ends"/> is true then.</returns>
    public bool TryRun(string line)
    {
        var text = line.TrimEnd();
        // A path or a regular expression is a message: a command is one word of letters.
        var (word, rest) = text.IndexOf(' ', StringComparison.Ordinal) is > 0 and var at
            ? (text[..at], text[at..].Trim())
            : (text, "");
        if (word.Length < 2 || word[0] != '/' || !word.Skip(1).All(char.IsAsciiLetter))
        {
            return false;
        }

        switch (word.ToLowerInvariant())
        {
            case "/help":
                foreach (var (_, use, purpose) in All)
                {
                    screen.Lines.WriteLine($"{use,-15} {screen.Translated(purpose)}");
                }

                break;
            case "/clear":
                session.Clear();
                screen.Lines.WriteLine("New conversation.");
                break;
            case "/system" when rest.Length == 0:
                screen.Lines.WriteLine(session.System is { } system ? TerminalText.Lines(system) : "No system prompt.");
                break;
            case "/system":
                session.System = rest;
                screen.Lines.WriteLine("System prompt set; new conversation.");
                break;
            case "/save":
                Save(rest);
                break;
            case "/exit" or "/quit":
                Ends = true;
                break;
            default:
                var meant = Suggestion.Text(word, All.Select(command => command.Name));
                screen.Error.WriteLine(
                    $"'{word}' is not a command{(meant.Length > 0 ? meant : ".")} /help lists the commands. To send a "
                        + "message that begins with a slash, put a space before it."
                );
                break;
        }

        return true;
    }

    /// <summary>Whether the user has asked to end the conversation.</summary>
    public bool Ends { get; private set; }

    private void Save(string path)
    {
        if (path.Length == 0 || session.History.Count == 0)
        {
            screen.Error.WriteLine(
                path.Length == 0
                    ? "Name the file: /save FILE"
                    : "There is nothing to save yet: the conversation is empty."
            );
            return;
        }

        path = HomePath.Expand(path);
        if (File.Exists(path) || Directory.Exists(path))
        {
            screen.Error.WriteLine($"{path}: already exists, and is not replaced.");
            return;
        }

        try
        {
            Message[] first = session.System is { } system ? [new Message(Role.System, system)] : [];
            var conversation = new Conversation([.. first, .. session.History]);
            AtomicFile.Write(path, file => ConversationWriter.WriteLine(file, conversation));
            screen.Lines.WriteLine($"saved {path}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            screen.Error.WriteLine(error.Message);
        }
    }
}
