using System.CommandLine;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;
using Spectre.Console;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune data show</c>: shows a row as training sees it.</summary>
internal static class DataShowCommand
{
    public static Command Create(Screen screen)
    {
        var (folder, model, config) = (Arguments.DataFolder(), Arguments.Model(), Arguments.Config());
        var row = NumberOption.Of("--row", "row number, from 1", 1);
        var split = new Option<string>("--split")
        {
            Description = "which file of the recipe",
            DefaultValueFactory = _ => DataFolder.SplitNames[0],
        };
        split.AcceptOnlyFromAmong([.. DataFolder.SplitNames]);
        var (json, set) = (Arguments.Json(), Arguments.Set());
        var command = new Command(
            "show",
            "Show a row as token ids and text. Supervised tokens are coloured on a terminal, and between « "
                + "and » elsewhere."
        )
        {
            folder,
            model,
            config,
            row,
            split,
            json,
            set,
        };
        command.SetAction(given =>
        {
            var recipe = RecipeFile.Read(given.GetRequiredValue(config), given.GetRequiredValue(set));
            var name = given.GetRequiredValue(split);
            var wanted =
                DataFolder.Splits(recipe.Data, given.GetRequiredValue(folder)).FirstOrDefault(one => one.Name == name)
                ?? throw new InvalidDataException(
                    $"{given.GetRequiredValue(config)}: the recipe names no file for '{name}'."
                );
            var template = new Glm4Template(
                TokenizeText.ReadTokenizer(given.GetRequiredValue(model)),
                recipe.Data.Template
            );
            var examples = DataFolder.ReadRow(wanted, given.GetRequiredValue(row), template);
            foreach (var example in examples)
            {
                if (given.GetValue(json))
                {
                    screen.Output.WriteLine(
                        JsonText.Of(
                            new
                            {
                                wanted.File,
                                example.Line,
                                InputIds = example.TokenIds,
                                Labels = example.Labels(),
                                Text = MarkedText.Of(example, template.Tokenizer),
                                example.FullLength,
                            }
                        )
                    );
                }
                else
                {
                    Show(screen, wanted, example, template.Tokenizer);
                }
            }
        });
        return command;
    }

    private static void Show(Screen screen, DataSplit split, TokenizedExample example, Tokenizer tokenizer)
    {
        var cut = example.IsCut ? $", truncated from {example.FullLength}" : "";
        screen.Lines.WriteLine(
            $"{split.File}, line {example.Line}: {example.TokenIds.Length} tokens{cut}, "
                + $"{example.SupervisedTokens} supervised"
        );
        screen.Output.WriteLine();
        Write(screen, Ids(example));
        screen.Output.WriteLine();
        Write(screen, MarkedText.Stretches(example, tokenizer));
    }

    private static IEnumerable<(string Text, bool IsSupervised)> Ids(TokenizedExample example)
    {
        var from = 0;
        foreach (var (start, end) in example.Supervised)
        {
            yield return ($"{string.Join(' ', example.TokenIds[from..start])} ", false);
            yield return (string.Join(' ', example.TokenIds[start..end]), true);
            yield return (end < example.TokenIds.Length ? " " : "", false);
            from = end;
        }

        yield return (string.Join(' ', example.TokenIds[from..]), false);
    }

    private static void Write(Screen screen, IEnumerable<(string Text, bool IsSupervised)> stretches)
    {
        foreach (var (text, isLearnt) in stretches)
        {
            if (screen.HasColor)
            {
                screen.Console.Write(
                    new Text(
                        TerminalText.Lines(text),
                        isLearnt ? new Style(Color.Green, decoration: Decoration.Bold) : Style.Plain
                    )
                );
            }
            else
            {
                screen.Output.Write(isLearnt ? $"«{text}»" : text);
            }
        }

        screen.Output.WriteLine();
    }
}
