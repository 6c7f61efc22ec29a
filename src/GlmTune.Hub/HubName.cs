using System.Diagnostics.CodeAnalysis;

namespace GlmTune.Hub;

/// <summary>Name of a published model: <c>OWNER/NAME</c>, or <c>OWNER/NAME@REVISION</c>.</summary>
/// <param name="Owner">User or organization.</param>
/// <param name="Name">Name of the repository.</param>
/// <param name="Revision">Branch, tag or commit; null for the main branch.</param>
internal sealed record HubName(string Owner, string Name, string? Revision = null)
{
    /// <summary><c>OWNER/NAME</c>.</summary>
    public string Id => $"{Owner}/{Name}";

    /// <summary>Whether a text is <c>OWNER/NAME</c>, without a revision.</summary>
    public static bool IsId(string text) => TryParse(text, out var name) && name.Revision is null;

    /// <summary>Parses a name; false if the text has another form, such as that of a path.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out HubName? name)
    {
        var at = text.IndexOf('@', StringComparison.Ordinal);
        var (id, revision) = at < 0 ? (text, null) : (text[..at], text[(at + 1)..]);
        name =
            id.Split('/') is [var owner, var model]
            && IsPart(owner)
            && IsPart(model)
            && (revision is null || IsRevision(revision))
                ? new HubName(owner, model, revision)
                : null;
        return name is not null;
    }

    /// <summary>Parses a name.</summary>
    /// <exception cref="InvalidDataException">The text has another form.</exception>
    public static HubName Parse(string text) =>
        TryParse(text, out var name)
            ? name
            : throw new InvalidDataException(
                $"'{text}' is not the name of a model; expected OWNER/NAME or OWNER/NAME@REVISION, such as "
                    + "THUDM/glm-4-9b-chat."
            );

    /// <inheritdoc/>
    public override string ToString() => Revision is null ? Id : $"{Id}@{Revision}";

    private static bool IsPart(string part) =>
        part.Length is > 0 and <= 96 && part is not ("." or "..") && part.All(IsCharacter);

    // A revision becomes a path below the cache's folder refs, and may have slashes (refs/pr/1).
    private static bool IsRevision(string revision) =>
        revision.Length <= 255
        && revision
            .Split('/')
            .All(part => part.Length > 0 && part is not ("." or "..") && part.All(c => IsCharacter(c) || c == '+'));

    private static bool IsCharacter(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.';
}
