using System.Runtime.ExceptionServices;
using GlmTune.Model;
using GlmTune.Model.Adapters;

namespace GlmTune.Inference;

/// <summary>Continues any number of prompts concurrently, each as if it were alone.</summary>
/// <remarks>Several threads may call it at the same time; passes of the model are serialized. Results do not depend on
/// other prompts, except for the rounding of sums. The seed and a prompt's index determine its random
/// numbers.</remarks>
internal sealed class Generator
{
    private readonly Lock passes = new();

    /// <summary>Creates a generator for a model.</summary>
    /// <param name="model">The model; remains owned by the caller, and nobody else may use it during a call.</param>
    /// <param name="vocabularySize">Exclusive upper bound of the ids that may be generated (a tokenizer's count);
    /// further rows of the vocabulary are padding.</param>
    /// <param name="defaults">Options used where requests set none, such as the model's own
    /// generation_config.json.</param>
    /// <param name="limits">Limits on concurrent generation.</param>
    /// <exception cref="ArgumentException">A limit is not positive, or the vocabulary is larger than the
    /// model's.</exception>
    public Generator(
        ICausalLm model,
        int vocabularySize,
        GenerationOptions? defaults = null,
        GenerationLimits? limits = null
    )
    {
        if (vocabularySize < 1 || vocabularySize > model.Config.VocabularySize)
        {
            throw new ArgumentException(
                $"The tokenizer has {vocabularySize} tokens, but the model's vocabulary has "
                    + $"{model.Config.VocabularySize}. Are both from the same model?",
                nameof(vocabularySize)
            );
        }

        (Model, VocabularySize, Defaults, Limits) = (
            model,
            vocabularySize,
            defaults ?? new GenerationOptions(),
            limits ?? new GenerationLimits()
        );
        Limits.Check();
    }

    /// <summary>The model.</summary>
    public ICausalLm Model { get; }

    /// <summary>Exclusive upper bound of the ids that may be generated.</summary>
    public int VocabularySize { get; }

    /// <summary>Options used where requests set none.</summary>
    public GenerationOptions Defaults { get; }

    /// <summary>Limits on concurrent generation.</summary>
    public GenerationLimits Limits { get; }

    /// <summary>Maximum tokens of prompt and answer together: the model's positions, or less by
    /// <see cref="GenerationLimits.MaxLength"/>.</summary>
    public int MaxLength => Math.Min(Model.Config.MaxPositions, Limits.MaxLength ?? int.MaxValue);

    /// <summary>Answers one prompt.</summary>
    /// <param name="request">The prompt and its options.</param>
    /// <param name="onToken">Called with each token as it is generated.</param>
    /// <param name="cancellation">Cancels the answer between two tokens.</param>
    /// <exception cref="ArgumentException">The prompt is empty or too long, or options are out of range.</exception>
    public GeneratedAnswer Generate(
        GenerationRequest request,
        Action<GeneratedToken>? onToken = null,
        CancellationToken cancellation = default
    ) => GenerateAll([request], (_, token) => onToken?.Invoke(token), cancellation)[0];

    /// <summary>Answers prompts.</summary>
    /// <param name="requests">The prompts with their options.</param>
    /// <param name="onToken">Called with the index of a prompt and its next token.</param>
    /// <param name="cancellation">Cancels the answers between two passes.</param>
    /// <returns>An answer for each prompt, in order.</returns>
    /// <exception cref="ArgumentException">A prompt is empty or too long, or options are out of range.</exception>
    public IReadOnlyList<GeneratedAnswer> GenerateAll(
        IReadOnlyList<GenerationRequest> requests,
        Action<int, GeneratedToken>? onToken = null,
        CancellationToken cancellation = default
    )
    {
        var answers = new GeneratedAnswer[requests.Count];
        foreach (var answer in AsFinished(requests, onToken, cancellation))
        {
            answers[answer.Index] = answer;
        }

        return answers;
    }

    /// <summary>Answers prompts, and returns each answer as soon as it is complete, with the index of its
    /// prompt.</summary>
    /// <param name="requests">The prompts; read as slots become free, so there may be more of them than fit in
    /// memory.</param>
    /// <param name="onToken">Called with the index of a prompt and its next token.</param>
    /// <param name="cancellation">Cancels the answers between two passes.</param>
    /// <exception cref="ArgumentException">A prompt is empty or too long, or options are out of range.</exception>
    public IEnumerable<GeneratedAnswer> AsFinished(
        IEnumerable<GenerationRequest> requests,
        Action<int, GeneratedToken>? onToken = null,
        CancellationToken cancellation = default
    )
    {
        // It ends with its last answer.
        using var queue = NewQueue(Limits with { KeepsAnswers = false });
        using var source = requests.GetEnumerator();
        var (count, more) = (0, true);
        while (true)
        {
            while (more && queue.WaitingCount < Limits.Slots && (more = source.MoveNext()))
            {
                queue.Add(NewRow(count++, source.Current));
            }

            if (!queue.HasWork)
            {
                yield break;
            }

            var finished = new List<GeneratedAnswer>();
            cancellation.ThrowIfCancellationRequested();
            try
            {
                queue.Step(
                    Take,
                    (row, error) =>
                        throw new InvalidOperationException(
                            $"Prompt {row.Index} cannot be answered: {error.Message}",
                            error
                        )
                );
            }
            catch (PassFailedException e)
            {
                ExceptionDispatchInfo.Throw(e.Cause);
            }

            foreach (var answer in finished)
            {
                yield return answer;
            }

            void Take(GenerationRow row, GeneratedToken token)
            {
                onToken?.Invoke(row.Index, token);
                if (row.Finished)
                {
                    finished.Add(row.Answer);
                }
            }
        }
    }

    /// <summary>Changes the model while no pass is running, for example the adapters that it serves; rows of an
    /// unloaded adapter fail.</summary>
    /// <param name="change">The change; keep it short, because all answers wait for it.</param>
    public void BetweenPasses(Action change)
    {
        lock (passes)
        {
            change();
        }
    }

    internal GenerationQueue NewQueue(GenerationLimits? limits = null, GenerationCounts? counts = null) =>
        new(Model, VocabularySize, limits ?? Limits, passes, counts);

    internal GenerationRow NewRow(int index, GenerationRequest request)
    {
        var settings = new GenerationSettings(request.Options.Over(Defaults), Model.Config.EndTokenIds);
        return new GenerationRow(
            index,
            request,
            settings,
            Model.Config.VocabularySize,
            MaxLength,
            FindAdapter(request.Adapter)
        );
    }

    private ServedAdapter? FindAdapter(string? name)
    {
        if (name is null)
        {
            return null;
        }

        var adapters = Model.Adapters;
        var names = adapters.Count == 0 ? "none" : string.Join(", ", adapters.Select(each => $"'{each.Name}'"));
        return adapters.FirstOrDefault(adapter => adapter.Name == name)
            ?? throw new ArgumentException($"Unknown adapter '{name}'; available: {names}.");
    }
}
