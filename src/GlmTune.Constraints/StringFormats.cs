namespace GlmTune.Constraints;

/// <summary>Supported string formats, as patterns; other formats have no effect.</summary>
internal static class StringFormats
{
    private const string Year = @"(\d{3}[1-9]|\d{2}[1-9]0|\d[1-9]00|[1-9]000)"; // There is no year 0.
    private const string LeapYear = @"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
    private const string Date =
        $@"({Year}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
        + $"|{LeapYear}-02-29)";
    private const string Time = @"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)";
    private const string Byte = @"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)";
    private const string Hex = "[0-9a-fA-F]{1,4}";
    private const string Label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
    private const string Days = @"(\d+D|\d+M(\d+D)?|\d+Y(\d+M(\d+D)?)?)";
    private const string Hours = @"T(\d+S|\d+M(\d+S)?|\d+H(\d+M(\d+S)?)?)";
    private const string UriCharacter = @"([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})";

    /// <summary>The formats by name.</summary>
    public static IReadOnlyDictionary<string, string> Patterns { get; } =
        new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["date"] = $"^{Date}$",
            ["time"] = $"^{Time}$",
            ["date-time"] = $"^{Date}T{Time}$",
            ["duration"] = $@"^P({Days}({Hours})?|{Hours}|\d+W)$",
            ["uuid"] = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
            ["ipv4"] = $@"^({Byte}\.){{3}}{Byte}$",
            ["ipv6"] = $"^(({Hex}:){{7}}{Hex}|{string.Join('|', Enumerable.Range(0, 8).Select(Shortened))})$",
            ["hostname"] = $@"^{Label}(\.{Label}){{0,3}}$",
            ["email"] =
                @"^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*"
                + @"@[A-Za-z0-9]+(-+[A-Za-z0-9]+)*(\.[A-Za-z0-9]+(-+[A-Za-z0-9]+)*)*\.[A-Za-z]{2,}$",
            ["uri"] =
                $@"^[A-Za-z][A-Za-z0-9+.-]*:(//({UserAndHost})(:\d{{1,5}})?(/{UriCharacter}*)?"
                + $"|[A-Za-z0-9]{UriCharacter}*)(#{UriCharacter}*)?$",
        };

    private const string UserAndHost = @"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?";

    // A number of groups, then two colons for zeros, then up to as many groups as remain.
    private static string Shortened(int before) =>
        before switch
        {
            0 => $"::({Hex}(:{Hex}){{0,6}})?",
            7 => $"({Hex}:){{7}}:",
            _ => $"({Hex}:){{{before}}}(:{Hex}){{1,{7 - before}}}|({Hex}:){{{before}}}:",
        };
}
