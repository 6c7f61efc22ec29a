using System.Globalization;

namespace GlmTune.Collectives;

/// <summary>Reads environment variables set by launchers, and collects what is wrong with them.</summary>
internal sealed class LauncherVariables(Func<string, string?> variable)
{
    private readonly List<string> problems = [];

    public string? Text(string name) =>
        variable(name) is { } text && !string.IsNullOrWhiteSpace(text) ? text.Trim() : null;

    public bool Has(string name) => Text(name) is not null;

    /// <summary>A whole number of at least <paramref name="least"/>; null if the variable is not set or invalid, which
    /// is recorded.</summary>
    public int? Number(string name, int least = 0, int most = int.MaxValue)
    {
        if (Text(name) is not { } text)
        {
            return null;
        }

        if (
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number >= least
            && number <= most
        )
        {
            return number;
        }

        problems.Add(
            $"{name} is '{text}'; expected a whole number "
                + $"{(most == int.MaxValue ? $"of at least {least}" : $"from {least} to {most}")}"
        );
        return null;
    }

    /// <summary>Like <see cref="Number"/>, but a missing variable is also recorded as a problem.</summary>
    public int Required(string name, string because, int least = 0)
    {
        if (!Has(name))
        {
            problems.Add($"{name} is not set, but {because}");
        }

        return Number(name, least) ?? least;
    }

    /// <summary>Records a rank outside of its world.</summary>
    public void RequireWithin(string rankName, int rank, string sizeName, int size)
    {
        if (problems.Count == 0 && rank >= size)
        {
            problems.Add($"{rankName} is {rank} and {sizeName} is {size}; ranks range from 0 to {size - 1}");
        }
    }

    /// <summary>Records a variable whose value is not <paramref name="expected"/>.</summary>
    public void RequireAgreement(string name, int expected, string otherName)
    {
        if (Number(name) is { } number && number != expected)
        {
            problems.Add($"{name} is {number} but {otherName} is {expected}; unset {name}, or make them equal");
        }
    }

    /// <exception cref="InvalidDataException">At least one problem was recorded.</exception>
    public void ThrowProblems()
    {
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"The environment does not define the rank of this process: {string.Join(". ", problems)}."
            );
        }
    }
}
