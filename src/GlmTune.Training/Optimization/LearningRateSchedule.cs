namespace GlmTune.Training.Optimization;

/// <summary>The learning rate as a function of the number of finished steps, like Hugging Face's schedules.</summary>
/// <param name="peak">The configured learning rate.</param>
/// <param name="options">Shape and warm-up.</param>
/// <param name="totalSteps">Steps of the whole run.</param>
internal sealed class LearningRateSchedule(double peak, ScheduleOptions options, int totalSteps)
{
    private readonly int warmup = options.Kind == ScheduleKind.Constant ? 0 : options.WarmupOf(totalSteps);

    /// <summary>Learning rate of the step after <paramref name="done"/> finished steps.</summary>
    public double After(long done)
    {
        if (done < warmup)
        {
            return peak * done / Math.Max(1, warmup);
        }

        var progress = (double)(done - warmup) / Math.Max(1, totalSteps - warmup);
        return options.Kind switch
        {
            ScheduleKind.Linear => peak * Math.Max(0, 1 - progress),
            ScheduleKind.Cosine => peak
                * Math.Max(0, 0.5 * (1 + Math.Cos(Math.PI * 2 * (options.Cycles ?? 0.5) * progress))),
            ScheduleKind.CosineWithRestarts => progress >= 1
                ? 0
                : peak * Math.Max(0, 0.5 * (1 + Math.Cos(Math.PI * ((options.Cycles ?? 1) * progress % 1)))),
            ScheduleKind.Polynomial => progress >= 1
                ? options.EndLearningRate
                : ((peak - options.EndLearningRate) * Math.Pow(1 - progress, options.Power)) + options.EndLearningRate,
            ScheduleKind.Constant or ScheduleKind.ConstantWithWarmup => peak,
            _ => throw new ArgumentException($"Unknown schedule {options.Kind}."),
        };
    }
}
