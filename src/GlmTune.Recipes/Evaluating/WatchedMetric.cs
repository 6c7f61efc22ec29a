using GlmTune.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>The metric that decides which evaluation is best (<c>metric_for_best_model</c>,
/// <c>greater_is_better</c>).</summary>
/// <param name="Key">Its name among the logged values.</param>
/// <param name="GreaterIsBetter">Whether greater values are better.</param>
internal readonly record struct WatchedMetric(string Key, bool GreaterIsBetter)
{
    /// <summary>The metric of a recipe: the loss by default. Unless the recipe says otherwise, lower is better for
    /// losses and perplexities.</summary>
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

    /// <summary>How much better one value is than another; negative: worse.</summary>
    public double Gain(double value, double than) => GreaterIsBetter ? value - than : than - value;
}
