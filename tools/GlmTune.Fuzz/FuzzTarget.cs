using System.Reflection;

namespace GlmTune.Fuzz;

/// <summary>A parser under test.</summary>
/// <param name="Name">Name of the target; its corpus has the same.</param>
/// <param name="Parse">Parses an input, and uses what it gives.</param>
/// <param name="Words">Pieces of the format.</param>
internal sealed record FuzzTarget(string Name, Action<byte[]> Parse, IReadOnlyList<string> Words)
{
    /// <summary>Inputs to start from: the corpus in this project.</summary>
    public IReadOnlyList<byte[]> Seeds { get; init; } = Corpus(Name);

    /// <summary>Whether an exception is the documented one for invalid input.</summary>
    public Predicate<Exception> IsDocumented { get; init; } = static error => error is InvalidDataException;

    private static List<byte[]> Corpus(string name)
    {
        var assembly = Assembly.GetExecutingAssembly();
        var found = new List<byte[]>();
        foreach (var resource in assembly.GetManifestResourceNames().Order(StringComparer.Ordinal))
        {
            if (resource.Replace('\\', '/').StartsWith(name + "/", StringComparison.Ordinal))
            {
                using var stream = assembly.GetManifestResourceStream(resource)!;
                using var bytes = new MemoryStream();
                stream.CopyTo(bytes);
                found.Add(bytes.ToArray());
            }
        }

        return found;
    }
}
