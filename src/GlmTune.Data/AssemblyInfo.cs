using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("GlmTune.Data.Tests")]
