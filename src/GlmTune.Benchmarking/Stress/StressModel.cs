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
    public async Task<StressAnswer> AskAsync(
        int promptTokens,
        int maxNewTokens,
        Random random,
        CancellationToken cancellation
    )
    {
        var request = new GenerationRequest(StressPrompt.Ids(chat.Template.Tokenizer, promptTokens, random))
        {
            Options = new()
            {
                DoSample = false,
                RepetitionPenalty = 1,
                MaxNewTokens = maxNewTokens,
                EosTokenIds = [],
            },
        };
        var clock = Stopwatch.StartNew();
        var (count, first) = (0, TimeSpan.Zero);
        await foreach (var _ in chat.Scheduler.StreamAsync(request, cancellation).ConfigureAwait(false))
        {
            first = count++ == 0 ? clock.Elapsed : first;
        }

        return new StressAnswer(promptTokens, count, first, clock.Elapsed);
    }
}
