using System.Diagnostics;
using GlmTune.Inference;

namespace GlmTune.Benchmarking.Stress;

/// <summary>Load-tests a model in this process. Answers are greedy and of full length: stop tokens are
/// ignored.</summary>
/// <param name="chat">The model; remains owned by the caller.</param>
/// <param name="name">Name of the target in the report.</param>
internal sealed class StressModel(ChatModel chat, string name) : IStressTarget
{
    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public async Task<StressAnswer> AskAsync(StressRequest asked, CancellationToken cancellation)
    {
        var request = new GenerationRequest(StressPrompt.Ids(chat.Template.Tokenizer, asked))
        {
            Adapter = asked.Adapter,
            Options = new()
            {
                DoSample = false,
                RepetitionPenalty = 1,
                MaxNewTokens = asked.MaxNewTokens,
                EosTokenIds = [],
            },
        };
        var clock = Stopwatch.StartNew();
        var times = new List<TimeSpan>();
        await foreach (var _ in chat.Scheduler.StreamAsync(request, cancellation).ConfigureAwait(false))
        {
            times.Add(clock.Elapsed);
        }

        return new StressAnswer(asked.PromptTokens, times.Count, times[0], clock.Elapsed)
        {
            Gaps = StressAnswer.GapsOf(times),
        };
    }
}
