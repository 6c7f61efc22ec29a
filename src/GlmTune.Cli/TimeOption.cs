using System.CommandLine;

namespace GlmTune.Cli;

/// <summary>An option whose value is a time.</summary>
internal static class TimeOption
{
    /// <summary>The option; its value is null without it.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="form">How the help writes its value.</param>
    /// <param name="description">What it does.</param>
    /// <param name="read">The time that a text means; null if it is none.</param>
    /// <param name="problem">What is wrong with a text that is none.</param>
    public static Option<TimeSpan?> Create(
        string name,
        string form,
        string description,
        Func<string, TimeSpan?> read,
        Func<string, string> problem
    ) =>
        new(name)
        {
            HelpName = form,
            Description = description,
            CustomParser = result =>
            {
                var text = result.Tokens[0].Value;
                var time = read(text);
                if (time is null)
                {
                    result.AddError(problem(text));
                }

                return time;
            },
        };
}
