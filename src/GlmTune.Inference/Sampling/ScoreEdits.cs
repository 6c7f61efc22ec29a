using System.Runtime.InteropServices;
using GlmTune.Kernels.Definitions;

namespace GlmTune.Inference;

/// <summary>The tokens of one answer whose scores are not simply their logits: biases, penalties, and stop tokens of an
/// answer that is too short. Kept up to date token by token.</summary>
internal sealed class ScoreEdits
{
    private readonly GenerationSettings settings;
    private readonly List<ScoreEdit> edits = [];
    private readonly Dictionary<int, int> places = [];
    private int answered;

    /// <param name="settings">The settings of the answer.</param>
    /// <param name="prompt">Token ids of the prompt.</param>
    public ScoreEdits(GenerationSettings settings, ReadOnlySpan<int> prompt)
    {
        this.settings = settings;
        foreach (var (id, bias) in settings.LogitBias)
        {
            Change(id, edit => edit with { Bias = bias });
        }

        if (settings.Rules.RepetitionPenalty != 1)
        {
            foreach (var id in prompt)
            {
                Change(id, edit => edit with { Seen = 1 });
            }
        }
    }

    /// <summary>Whether the tokens of the answer matter.</summary>
    public bool CountsAnswer => settings.Rules is not { RepetitionPenalty: 1, PresencePenalty: 0, FrequencyPenalty: 0 };

    /// <summary>Adds a token of the answer.</summary>
    public void Add(int id)
    {
        answered++;
        if (CountsAnswer)
        {
            Change(id, edit => edit.Again);
        }
    }

    /// <summary>The edits for the next token, or for a later one; valid until the next call.</summary>
    /// <param name="pending">Number of tokens of the answer that have not been added yet.</param>
    public ReadOnlySpan<ScoreEdit> After(int pending = 0)
    {
        if (answered + pending >= settings.MinNewTokens)
        {
            return CollectionsMarshal.AsSpan(edits);
        }

        var all = edits.ToList();
        foreach (var stop in settings.Stops)
        {
            var edit = new ScoreEdit(stop, float.NegativeInfinity, 0, 0);
            if (places.TryGetValue(stop, out var place))
            {
                all[place] = edit;
            }
            else
            {
                all.Add(edit);
            }
        }

        return CollectionsMarshal.AsSpan(all);
    }

    private void Change(int id, Func<ScoreEdit, ScoreEdit> change)
    {
        if (places.TryGetValue(id, out var place))
        {
            edits[place] = change(edits[place]);
        }
        else
        {
            places.Add(id, edits.Count);
            edits.Add(change(new ScoreEdit(id, 0, 0, 0)));
        }
    }
}
