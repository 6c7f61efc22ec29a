namespace GlmTune.Recipes.Training;

/// <summary>Reads several files so that the problems of all of them come in one report.</summary>
internal static class ProblemsOfFiles
{
    /// <summary>Reads all.</summary>
    /// <exception cref="InvalidDataException">Files have problems; those of each are in the message.</exception>
    public static List<T> All<T>(IEnumerable<Func<T>> readings)
    {
        var (results, problems) = (new List<T>(), new List<string>());
        foreach (var read in readings)
        {
            try
            {
                results.Add(read());
            }
            catch (InvalidDataException error)
            {
                problems.Add(error.Message);
            }
        }

        return problems.Count == 0
            ? results
            : throw new InvalidDataException(string.Join(Environment.NewLine, problems));
    }

    /// <summary>Reads the first file; only where that has problems are the others read now, for theirs.</summary>
    /// <exception cref="InvalidDataException">The first file has problems; those of the others are in the message
    /// too.</exception>
    public static TFirst Together<TFirst, TOther>(Func<TFirst> first, IEnumerable<Func<TOther>> others)
    {
        try
        {
            return first();
        }
        catch (InvalidDataException error)
        {
            var problems = error.Message;
            try
            {
                All(others);
            }
            catch (InvalidDataException more)
            {
                problems += Environment.NewLine + more.Message;
            }

            throw new InvalidDataException(problems, error);
        }
    }
}
