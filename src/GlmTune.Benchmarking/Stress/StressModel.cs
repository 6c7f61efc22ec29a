using System.Diagnostics;
using GlmTune.Inference;

namespace GlmTune.Benchmarking.Stress;

/// <summary>A model in this process under stress: greedy answers of full length, whatever the model would cancellation
/// at.</summary>
/// <param name="chat">The model; stays the caller's.</param>
/// <param name="name">What the report calls it.</param>
public sealed class StressModel(ChatModel chat, string name) : IStressTarget
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
