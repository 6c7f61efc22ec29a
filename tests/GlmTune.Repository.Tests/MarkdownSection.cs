namespace GlmTune.Repository.Tests;

/// <summary>A heading of a Markdown page and what stands below it, up to the next heading.</summary>
/// <param name="Title">The heading's text; empty for what stands above the first one.</param>
/// <param name="Level">1 to 6; 0 above the first heading.</param>
/// <param name="Blocks">Its blocks in order: <c>paragraph</c>, <c>list of 3 items</c>, <c>table of 4 x 2 cells</c>,
/// <c>code block</c>, …</param>
/// <param name="CodeBlocks">Its code blocks, in order.</param>
/// <param name="Rows">Of each row of its tables, the text set as code, sorted.</param>
/// <param name="Codes">Text set as code in its paragraphs and lists, each once, sorted.</param>
/// <param name="Links">Addresses of its links and images, as written, in order.</param>
internal sealed record MarkdownSection(
    string Title,
    int Level,
    IReadOnlyList<string> Blocks,
    IReadOnlyList<CodeText> CodeBlocks,
    IReadOnlyList<IReadOnlyList<string>> Rows,
    IReadOnlyList<string> Codes,
    IReadOnlyList<string> Links
);
