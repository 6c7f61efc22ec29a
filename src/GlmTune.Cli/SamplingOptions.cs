using System.CommandLine;
using GlmTune.Inference;

namespace GlmTune.Cli;

/// <summary>The options that say how answers are generated; what is not given is the model's own generation
/// configuration.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<int?> maxNewTokens = NumberOption.Optional<int>(
        "--max-new-tokens",
        "most tokens of an answer",
        1
    );
    private readonly Option<double?> temperature = NumberOption.Optional<double>(
        "--temperature",
        "above 0 draws at random, the more so the higher; 0 takes the likeliest tokens",
        0.0
    );
    private readonly Option<double?> topP = NumberOption.Optional<double>(
        "--top-p",
        "draw among the likeliest tokens that reach this probability together",
        0.0,
        1,
        above: true
    );
    private readonly Option<int?> topK = NumberOption.Optional<int>(
        "--top-k",
        "draw among so many likeliest tokens; 0 turns it off",
        0
    );
    private readonly Option<double?> repetitionPenalty = NumberOption.Optional<double>(
        "--repetition-penalty",
        "above 1 makes tokens that occurred less likely",
        0.0,
        above: true
    );
    private readonly Option<int?> beams = NumberOption.Optional<int>("--num-beams", "beams of a beam search", 1);
    private readonly Option<long?> seed = NumberOption.Optional<long>("--seed", "draw the same every time");

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
            DoSample =
                heat == 0 || given.GetValue(beams) > 1 ? false
                : heat > 0 || given.GetValue(topP) is not null || given.GetValue(topK) > 0 ? true
                : null,
            Temperature = heat == 0 ? 1 : heat,
            TopP = given.GetValue(topP),
            TopK = given.GetValue(topK),
            RepetitionPenalty = given.GetValue(repetitionPenalty),
            NumBeams = given.GetValue(beams),
            Seed = given.GetValue(seed),
        };
    }
}
