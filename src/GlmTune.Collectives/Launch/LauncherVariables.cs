using System.Globalization;

namespace GlmTune.Collectives;

/// <summary>Reads launchers' variables and gathers what is wrong with them.</summary>
internal sealed class LauncherVariables(Func<string, string?> variable)
{
    private readonly List<string> problems = [];

    public string? Text(string name) =>
        variable(name) is { } text && !string.IsNullOrWhiteSpace(text) ? text.Trim() : null;

    public bool Has(string name) => Text(name) is not null;

    /// <summary>A whole number from <paramref name="least"/>; null where the variable is not set, or is wrong, which is
    /// noted.</summary>
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
                + $"{(most == int.MaxValue ? $"from {least}" : $"from {least} to {most}")}"
        );
        return null;
    }

    /// <summary>As <see cref="Number"/>, but a variable that is not set is noted too.</summary>
    public int Required(string name, string because, int least = 0)
    {
        if (!Has(name))
        {
            problems.Add($"{name} is not set, but {because}");
        }

        return Number(name, least) ?? least;
    }

    /// <summary>Notes a rank beyond its world.</summary>
    public void RequireWithin(string rankName, int rank, string sizeName, int size)
    {
        if (problems.Count == 0 && rank >= size)
        {
            problems.Add($"{rankName} is {rank} and {sizeName} is {size}; ranks range from 0 to {size - 1}");
        }
    }

    /// <summary>Notes a variable that is set to something else than <paramref name="expected"/>.</summary>
    public void RequireAgreement(string name, int expected, string otherName)
    {
        if (Number(name) is { } number && number != expected)
        {
            problems.Add($"{name} is {number} but {otherName} is {expected}; unset {name}, or make them equal");
        }
    }

    /// <exception cref="InvalidDataException">Something was noted.</exception>
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
