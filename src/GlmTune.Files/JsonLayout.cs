using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Files;

/// <summary>How JSON files are written: indented by 2 spaces, with line feeds, and without escaping letters of any
/// script.</summary>
internal static class JsonLayout
{
    /// <summary>Indented by 2 spaces.</summary>
    public static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
}
