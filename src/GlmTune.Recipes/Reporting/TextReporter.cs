using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Writes the events of a run as plain lines: one for each log entry, evaluation and checkpoint.</summary>
public sealed class TextReporter : IFineTuneReporter
{
    private readonly RunLines lines;

    /// <param name="output">Receives the lines, such as <see cref="Console.Out"/>.</param>
    /// <param name="notes">Receives the notes; null: <paramref name="output"/>.</param>
    public TextReporter(TextWriter output, TextWriter? notes = null)
    {
        ArgumentNullException.ThrowIfNull(output);
        lines = new RunLines(output.WriteLine, (notes ?? output).WriteLine);
    }

    /// <inheritdoc/>
    public void Note(string text) => lines.Note(text);

    /// <inheritdoc/>
    public void Started(FineTuneStart start) => lines.Started(start);

    /// <inheritdoc/>
    public void Stepped(StepReport report) => lines.Stepped(report);

    /// <inheritdoc/>
    public void Logged(long atStep, IReadOnlyDictionary<string, double> values) => lines.Logged(atStep, values);

    /// <inheritdoc/>
    public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) => lines.Evaluated(atStep, values);

    /// <inheritdoc/>
    public void Tested(IReadOnlyDictionary<string, double> values) => lines.Tested(values);

    /// <inheritdoc/>
    public void Saved(string folder) => lines.Saved(folder);
}
