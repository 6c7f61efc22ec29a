namespace GlmTune.Server;

/// <summary>A file of API keys, one per line; empty lines and lines that start with # are skipped.</summary>
internal static class ApiKeyFile
{
    /// <exception cref="InvalidDataException">The file contains no key, or one with white space or fewer than 8
    /// characters.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IReadOnlyList<string> Read(string path)
    {
        var keys = new List<string>();
        var problems = new List<string>();
        foreach (var (index, line) in File.ReadAllLines(path).Index())
        {
            var key = line.Trim();
            if (key.Length == 0 || key[0] == '#')
            {
                continue;
            }

            keys.Add(key);
            if (key.Length < 8 || key.Any(c => c is <= ' ' or > '~'))
            {
                problems.Add($"{path}, line {index + 1}: a key needs at least 8 ASCII characters without white space.");
            }
        }

        if (keys.Count == 0)
        {
            problems.Add($"{path}: contains no key; expected one per line.");
        }

        return problems.Count == 0 ? keys : throw new InvalidDataException(string.Join('\n', problems));
    }
}
