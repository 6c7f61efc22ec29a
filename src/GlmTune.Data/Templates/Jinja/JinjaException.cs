namespace GlmTune.Data.Templates.Jinja;

/// <summary>A chat template that cannot be read, or that fails on a conversation.</summary>
/// <param name="line">Line of the template, from 1; 0: unknown.</param>
/// <param name="problem">What is wrong.</param>
internal sealed class JinjaException(int line, string problem)
    : Exception(line > 0 ? $"chat template, line {line}: {problem}" : $"chat template: {problem}");
