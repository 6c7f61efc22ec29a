using System.CommandLine;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune tokenize</c>: converts texts to token ids.</summary>
internal static class TokenizeCommand
{
    public static Command Create(Screen screen)
    {
        var model = Arguments.Model();
        var text = new Option<string?>("--text") { HelpName = "TEXT", Description = "the text" };
        var file = new Option<string?>("--file") { HelpName = "FILE", Description = "a file to read as one text" };
        var lines = new Option<string?>("--jsonl")
        {
            HelpName = "FILE",
            Description = "a file with one text per line: a JSON string, or {\"text\": …}",
        };
        var chat = new Option<bool>("--chat")
        {
            Description = "treat each text as a user message: add [gMASK]<sop>, roles, and the assistant token",
        };
        var special = new Option<bool>("--special")
        {
            Description = "parse special-token text as special tokens; otherwise it stays plain text",
        };
        var json = Arguments.Json();
        var command = new Command(
            "tokenize",
            "Print the token ids of texts, one line each. Needs only the tokenizer files."
        )
        {
            model,
            text,
            file,
            lines,
            chat,
            special,
            json,
        };
        command.Validators.Add(given =>
        {
            if (new Option[] { text, file, lines }.Count(option => given.GetResult(option) is not null) != 1)
            {
                given.AddError("Give exactly one of --text, --file and --jsonl.");
            }

            if (given.GetValue(chat) && given.GetValue(special))
            {
                given.AddError("Give either --chat or --special, not both.");
            }
        });
        command.SetAction(given =>
        {
            var tokenizer = TokenizeText.ReadTokenizer(given.GetRequiredValue(model));
            var reading =
                given.GetValue(chat) ? TextReading.Chat
                : given.GetValue(special) ? TextReading.SpecialTokens
                : TextReading.Plain;
            var texts = given.GetValue(lines) is { } path
                ? TokenizeText.ReadLines(path)
                : [given.GetValue(text) ?? TokenizeText.ReadFile(given.GetValue(file)!)];
            foreach (var one in texts)
            {
                var ids = TokenizeText.Encode(tokenizer, one, reading);
                screen.Output.WriteLine(given.GetValue(json) ? JsonText.Of(ids) : string.Join(' ', ids));
            }
        });
        return command;
    }
}
