using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("GlmTune.Inference.Tests")]
