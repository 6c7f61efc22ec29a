using GlmTune.Evaluation;
using GlmTune.Recipes.Training;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Reports once, through rank 0 only, and collects notes of the other ranks until they can be passed to
/// it.</summary>
/// <param name="ranks">The ranks.</param>
/// <param name="listener">Receives the events, on rank 0.</param>
internal sealed class RankReporter(RunRanks ranks, IFineTuneReporter listener) : IFineTuneReporter
{
    private readonly List<string> notes = [];
    private bool started;

    /// <inheritdoc/>
    /// <remarks>Notes of other ranks before <see cref="Started"/> are reported there, unless rank 0 had the same note;
    /// later notes are the same on all ranks.</remarks>
    public void Note(string text)
    {
        if (!started)
        {
            notes.Add(text);
        }

        if (ranks.IsFirst)
        {
            listener.Note(text);
        }
    }

    /// <inheritdoc/>
    public void Started(FineTuneStart start)
    {
        started = true;
        if (!ranks.IsAlone)
        {
            var said = Collectives.HostCollectives.GatherStrings(ranks.Collectives, notes);
            foreach (
                var (rank, text) in said.Index()
                    .Skip(1)
                    .SelectMany(one => one.Item.Except(said[0]).Select(text => (one.Index, text)))
            )
            {
                Tell(to => to.Note($"rank {rank}: {text}"));
            }
        }

        Tell(to => to.Started(start));
    }

    /// <inheritdoc/>
    public void Stepped(StepReport report) => Tell(to => to.Stepped(report));

    /// <inheritdoc/>
    public void Rewound(long atStep) => Tell(to => to.Rewound(atStep));

    /// <inheritdoc/>
    public void Logged(long atStep, IReadOnlyDictionary<string, double> values) =>
        Tell(to => to.Logged(atStep, values));

    /// <inheritdoc/>
    public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) =>
        Tell(to => to.Evaluated(atStep, values));

    /// <inheritdoc/>
    public void Evaluating(EvaluationProgress progress) => Tell(to => to.Evaluating(progress));

    /// <inheritdoc/>
    public void Answered(long atStep, IReadOnlyList<EvaluatedAnswer> samples) =>
        Tell(to => to.Answered(atStep, samples));

    /// <inheritdoc/>
    public void Tested(IReadOnlyDictionary<string, double> values) => Tell(to => to.Tested(values));

    /// <inheritdoc/>
    public void Saved(string folder) => Tell(to => to.Saved(folder));

    private void Tell(Action<IFineTuneReporter> tell)
    {
        ranks.Collectives.Activity.Progress();
        if (ranks.IsFirst)
        {
            tell(listener);
        }
    }
}
