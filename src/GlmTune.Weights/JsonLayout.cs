using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Weights;

/// <summary>How JSON files are written: 2 spaces, line feeds, and letters of any script as they are.</summary>
internal static class JsonLayout
{
    public static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
}
