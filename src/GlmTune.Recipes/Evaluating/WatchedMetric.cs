using GlmTune.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>The value of evaluations by which the best one is chosen (<c>metric_for_best_model</c>,
/// <c>greater_is_better</c>).</summary>
/// <param name="Key">Its name among the logged values.</param>
/// <param name="GreaterIsBetter">Whether more is better.</param>
internal readonly record struct WatchedMetric(string Key, bool GreaterIsBetter)
{
    /// <summary>As a recipe has it: the loss unless it names another; less is better for losses and perplexities unless
    /// it says otherwise.</summary>
    public static WatchedMetric Of(TrainingOptions training)
    {
        var name = training.MetricForBestModel ?? "loss";
        var key = name.StartsWith("eval_", StringComparison.Ordinal) ? name : "eval_" + name;
        return new WatchedMetric(
            key,
            training.GreaterIsBetter
                ?? !(
                    key.EndsWith("loss", StringComparison.Ordinal)
                    || key.EndsWith("perplexity", StringComparison.Ordinal)
                )
        );
    }

    /// <summary>How much better a value is than another; below 0: worse.</summary>
    public double Gain(double value, double than) => GreaterIsBetter ? value - than : than - value;
}
