using System.CommandLine;
using GlmTune.Inference;

namespace GlmTune.Cli;

/// <summary>Sampling options; anything not given comes from the model's own generation configuration.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<int?> maxNewTokens = NumberOption.Optional<int>(
        "--max-new-tokens",
        "max tokens per answer",
        1
    );
    private readonly Option<double?> temperature = NumberOption.Optional<double>(
        "--temperature",
        "sampling temperature; 0 = greedy",
        0.0
    );
    private readonly Option<double?> topP = NumberOption.Optional<double>(
        "--top-p",
        "sample from the most likely tokens whose probabilities add up to this value",
        0.0,
        1,
        above: true
    );
    private readonly Option<int?> topK = NumberOption.Optional<int>(
        "--top-k",
        "sample from the K most likely tokens; 0 disables this",
        0
    );
    private readonly Option<double?> minP = NumberOption.Optional<double>(
        "--min-p",
        "sample only from tokens with at least this fraction of the most likely token's probability; 0 "
            + "disables this",
        0.0,
        1
    );
    private readonly Option<double?> repetitionPenalty = NumberOption.Optional<double>(
        "--repetition-penalty",
        "above 1, tokens that already occurred become less likely",
        0.0,
        above: true
    );
    private readonly Option<int?> beams = NumberOption.Optional<int>(
        "--num-beams",
        "number of beams in beam search",
        1
    );
    private readonly Option<long?> seed = NumberOption.Optional<long>("--seed", "random seed for reproducible output");

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (
            var option in new Option[] { maxNewTokens, temperature, topP, topK, minP, repetitionPenalty, beams, seed }
        )
        {
            command.Add(option);
        }
    }

    /// <summary>Reads the options.</summary>
    public GenerationOptions Read(ParseResult given)
    {
        var heat = given.GetValue(temperature);
        return new GenerationOptions
        {
            MaxNewTokens = given.GetValue(maxNewTokens),
            DoSample =
                heat == 0 || given.GetValue(beams) > 1 ? false
                : heat > 0 || given.GetValue(topP) is not null || given.GetValue(topK) > 0 || given.GetValue(minP) > 0
                    ? true
                : null,
            Temperature = heat == 0 ? 1 : heat,
            TopP = given.GetValue(topP),
            TopK = given.GetValue(topK),
            MinP = given.GetValue(minP),
            RepetitionPenalty = given.GetValue(repetitionPenalty),
            NumBeams = given.GetValue(beams),
            Seed = given.GetValue(seed),
        };
    }
}
