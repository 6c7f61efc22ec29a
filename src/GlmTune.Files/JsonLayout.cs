using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Files;

/// <summary>How JSON files are written: 2 spaces, line feeds, and letters of any script as they are.</summary>
public static class JsonLayout
{
    /// <summary>Indented by 2 spaces.</summary>
    public static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
}
