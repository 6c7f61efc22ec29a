using System.Globalization;

namespace GlmTune.Server;

/// <summary>Collects the problems of a request's fields, to report them together.</summary>
internal sealed class FieldProblems
{
    // A request can contain thousands of mistakes.
    private const int MaxReported = 20;

    private readonly List<(string Param, string Problem)> problems = [];

    public void Check(bool holds, string param, string problem)
    {
        if (!holds)
        {
            problems.Add((param, problem));
        }
    }

    public void Range(string param, double? value, double least, double most) =>
        Check(
            value is null || (value >= least && value <= most),
            param,
            string.Create(
                CultureInfo.InvariantCulture,
                $"is {value}; expected {(most >= int.MaxValue ? $"at least {least}" : $"{least} to {most}")}"
            )
        );

    /// <exception cref="ApiException">400 with the first invalid field as its parameter, if there is any
    /// problem.</exception>
    public void ThrowIfAny()
    {
        if (problems.Count > 0)
        {
            var told = string.Join(
                "; ",
                problems.Take(MaxReported).Select(problem => $"'{problem.Param}' {problem.Problem}")
            );
            throw ApiException.Wrong(
                problems[0].Param,
                $"{told}{(problems.Count > MaxReported ? $"; and {problems.Count - MaxReported} more" : "")}."
            );
        }
    }
}
