using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace GlmTune.Cli;

/// <summary>Options that take a number within limits.</summary>
internal static class NumberOption
{
    /// <summary>An option with a default.</summary>
    /// <param name="name">Its name, including the dashes.</param>
    /// <param name="description">Its description.</param>
    /// <param name="standard">The default.</param>
    /// <param name="least">The minimum; null for none.</param>
    /// <param name="most">The maximum; null for none.</param>
    public static Option<T> Of<T>(string name, string description, T standard, T? least = null, T? most = null)
        where T : struct, INumber<T> =>
        new(name)
        {
            HelpName = HelpName<T>(),
            Description = description,
            DefaultValueFactory = _ => standard,
            CustomParser = result => Read(result, name, new Limits<T>(least, most)) ?? standard,
        };

    /// <summary>An option without a default.</summary>
    /// <param name="name">Its name, including the dashes.</param>
    /// <param name="description">Its description.</param>
    /// <param name="least">The minimum; null for none.</param>
    /// <param name="most">The maximum; null for none.</param>
    /// <param name="above">Whether <paramref name="least"/> itself is excluded.</param>
    public static Option<T?> Optional<T>(
        string name,
        string description,
        T? least = null,
        T? most = null,
        bool above = false
    )
        where T : struct, INumber<T> =>
        new(name)
        {
            HelpName = HelpName<T>(),
            Description = description,
            CustomParser = result => Read(result, name, new Limits<T>(least, most, above)),
        };

    /// <summary>An option that takes several numbers, separated by commas or given repeatedly.</summary>
    /// <param name="name">Its name, including the dashes.</param>
    /// <param name="description">Its description.</param>
    /// <param name="standard">The default.</param>
    /// <param name="least">The minimum.</param>
    /// <param name="words">Whether the option takes all following numbers; then no argument can follow them.</param>
    public static Option<T[]> Several<T>(
        string name,
        string description,
        IReadOnlyList<T> standard,
        T least,
        bool words = false
    )
        where T : struct, INumber<T> =>
        new(name)
        {
            HelpName = $"{HelpName<T>()}[,{HelpName<T>()}…]",
            Description = description,
            AllowMultipleArgumentsPerToken = words,
            DefaultValueFactory = _ => [.. standard],
            CustomParser = result =>
                [
                    .. result
                        .Tokens.SelectMany(token => token.Value.Split(','))
                        .Select(text => Read(result, text, name, new Limits<T>(least)) ?? least),
                ],
        };

    private static T? Read<T>(ArgumentResult result, string name, Limits<T> limits)
        where T : struct, INumber<T> => Read(result, result.Tokens[0].Value, name, limits);

    private static T? Read<T>(ArgumentResult result, string text, string name, Limits<T> limits)
        where T : struct, INumber<T>
    {
        if (
            T.TryParse(
                text,
                NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent,
                CultureInfo.InvariantCulture,
                out var number
            ) && limits.Hold(number)
        )
        {
            return number;
        }

        result.AddError($"{name}: '{text}' is not {limits}.");
        return null;
    }

    private static string HelpName<T>() => IsWhole<T>() ? "N" : "X";

    private static bool IsWhole<T>() => typeof(T) != typeof(double);

    private readonly record struct Limits<T>(T? Min, T? Max = null, bool Above = false)
        where T : struct, INumber<T>
    {
        public bool Hold(T number) =>
            T.IsFinite(number)
            && (Min is not { } least || (Above ? number > least : number >= least))
            && (Max is not { } most || number <= most);

        public override string ToString()
        {
            var kind = IsWhole<T>() ? "a whole number" : "a number";
            return string.Create(
                CultureInfo.InvariantCulture,
                $"{kind}{(Min, Max, Above) switch
                {
                    (null, _, _) => "",
                    ({ } least, { } most, true) => $" above {least} and at most {most}",
                    ({ } least, null, true) => $" above {least}",
                    ({ } least, { } most, false) => $" from {least} to {most}",
                    ({ } least, null, false) => $" of at least {least}",
                }}"
            );
        }
    }
}
