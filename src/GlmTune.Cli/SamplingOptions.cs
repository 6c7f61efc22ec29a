using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using GlmTune.Inference;

namespace GlmTune.Cli;

/// <summary>The options that say how answers are generated; what is not given is the model's own generation configuration.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<int?> maxNewTokens = Whole("--max-new-tokens", 1, "most tokens of an answer");
    private readonly Option<double?> temperature = Number("--temperature", "above 0 draws at random, the more so the higher; 0 takes the likeliest tokens", "at least 0", value => value >= 0);
    private readonly Option<double?> topP = Number("--top-p", "draw among the likeliest tokens that reach this probability together", "above 0 and at most 1", value => value is > 0 and <= 1);
    private readonly Option<int?> topK = Whole("--top-k", 0, "draw among so many likeliest tokens; 0 turns it off");
    private readonly Option<double?> repetitionPenalty = Number("--repetition-penalty", "above 1 makes tokens that occurred less likely", "above 0", value => value > 0);
    private readonly Option<int?> beams = Whole("--num-beams", 1, "beams of a beam search");
    private readonly Option<long?> seed = new("--seed") { HelpName = "N", Description = "draw the same every time" };

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { maxNewTokens, temperature, topP, topK, repetitionPenalty, beams, seed })
        {
            command.Add(option);
        }
    }

    /// <summary>What was given.</summary>
    public GenerationOptions Read(ParseResult given)
    {
        var heat = given.GetValue(temperature);
        return new GenerationOptions
        {
            MaxNewTokens = given.GetValue(maxNewTokens),
            DoSample = heat == 0 || given.GetValue(beams) > 1 ? false : heat > 0 || given.GetValue(topP) is not null || given.GetValue(topK) > 0 ? true : null,
            Temperature = heat == 0 ? 1 : heat,
            TopP = given.GetValue(topP),
            TopK = given.GetValue(topK),
            RepetitionPenalty = given.GetValue(repetitionPenalty),
            NumBeams = given.GetValue(beams),
            Seed = given.GetValue(seed),
        };
    }

    private static Option<int?> Whole(string name, int least, string description) => Checked(
        new Option<int?>(name) { HelpName = "N", Description = description }, value => value >= least, $"a whole number of at least {least}");

    private static Option<double?> Number(string name, string description, string range, Predicate<double> fits) => Checked(
        new Option<double?>(name)
        {
            HelpName = "X",
            Description = description,
            CustomParser = result => double.TryParse(result.Tokens[0].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) ? value : Wrong(result, name),
        },
        value => double.IsFinite(value) && fits(value),
        $"a number {range}");

    private static double? Wrong(ArgumentResult result, string name)
    {
        result.AddError($"{name}: '{result.Tokens[0].Value}' is not a number.");
        return null;
    }

    private static Option<T?> Checked<T>(Option<T?> option, Predicate<T> fits, string expected)
        where T : struct
    {
        option.Validators.Add(result =>
        {
            if (!result.Errors.Any() && result.Tokens.Count == 1 && result.GetValueOrDefault<T?>() is { } value && !fits(value))
            {
                result.AddError($"{option.Name}: {value} is out of range; expected {expected}.");
            }
        });
        return option;
    }
}
