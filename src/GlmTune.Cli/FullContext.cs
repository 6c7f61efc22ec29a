using GlmTune.Inference;

namespace GlmTune.Cli;

/// <summary>Answers in a conversation that may outgrow the context of the model: it then offers to drop the oldest
/// turns.</summary>
internal static class FullContext
{
    /// <summary>Answers once, or again after dropping turns.</summary>
    /// <param name="screen">The user's terminal.</param>
    /// <param name="answer">Writes the answer.</param>
    /// <param name="drop">Drops this many of the oldest turns.</param>
    /// <param name="stop">Cancels it.</param>
    /// <returns>Whether there is an answer; if not, the reason has been printed and the conversation is
    /// unchanged.</returns>
    public static async Task<bool> AnswerAsync(
        Screen screen,
        Func<Task> answer,
        Action<int> drop,
        CancellationToken stop
    )
    {
        while (true)
        {
            try
            {
                await answer().ConfigureAwait(false);
                return true;
            }
            catch (ConversationTooLongException e)
            {
                if (!await DropAsync(screen, e, drop, stop).ConfigureAwait(false))
                {
                    return false;
                }
            }
            catch (Exception e) when (e is ArgumentException or InvalidDataException or NoTokenException)
            {
                screen.Error.WriteLine(e.Message);
                return false;
            }
        }
    }

    private static async Task<bool> DropAsync(
        Screen screen,
        ConversationTooLongException error,
        Action<int> drop,
        CancellationToken stop
    )
    {
        if (error.TurnsToDrop is not { } turns)
        {
            screen.Error.WriteLine(
                $"{error.Message} Even without earlier turns the message is too long; shorten it or the system prompt."
            );
            return false;
        }

        var (oldest, room) = (
            turns == 1 ? "the oldest turn" : $"the {turns} oldest turns",
            $"The conversation has {error.Tokens} tokens, and the context of the model is limited to {error.Limit}."
        );
        if (!screen.InputIsTyped)
        {
            screen.Error.WriteLine($"note: {room} To make room, {oldest} were dropped; the system prompt stays.");
            drop(turns);
            return true;
        }

        screen.Lines.WriteLine(room);
        screen.Lines.Write($"Drop {oldest} and answer? The system prompt stays. y (yes), n (no): ");
        screen.Lines.Flush();
        var reply = await Task.Run(screen.Input.ReadLine, CancellationToken.None).WaitAsync(stop).ConfigureAwait(false);
        if (reply?.Trim().ToUpperInvariant() is not ("Y" or "YES"))
        {
            screen.Lines.WriteLine("Nothing was dropped, and the message was not sent.");
            return false;
        }

        drop(turns);
        return true;
    }
}
