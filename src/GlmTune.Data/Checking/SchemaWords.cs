using NJsonSchema.Validation;

namespace GlmTune.Data.Checking;

/// <summary>Describes in plain words how arguments violate a schema.</summary>
internal static class SchemaWords
{
    private const int ValueShown = 40;

    public static string Describe(ValidationError error)
    {
        var path = (error.Path ?? "#").TrimStart('#', '/');
        var name = $"'{(path.Length == 0 ? "arguments" : path)}'";
        return error.Kind switch
        {
            ValidationErrorKind.PropertyRequired => $"{name} is missing",
            ValidationErrorKind.NoAdditionalPropertiesAllowed => $"{name} is not declared",
            ValidationErrorKind.NotInEnumeration => $"{name} is{Value(error)}, which is not one of the allowed values",
            var kind => $"{name} is{Value(error)}; expected {Expected(error, kind)}",
        };
    }

    private static string Expected(ValidationError error, ValidationErrorKind kind) =>
        kind switch
        {
            ValidationErrorKind.StringExpected => "a string",
            ValidationErrorKind.NumberExpected => "a number",
            ValidationErrorKind.IntegerExpected => "a whole number",
            ValidationErrorKind.BooleanExpected => "true or false",
            ValidationErrorKind.ArrayExpected => "an array",
            ValidationErrorKind.ObjectExpected => "an object",
            ValidationErrorKind.NullExpected => "null",
            ValidationErrorKind.DateExpected => "a date such as 2024-05-01",
            ValidationErrorKind.DateTimeExpected => "a date with time such as 2024-05-01T08:00:00Z",
            ValidationErrorKind.TimeExpected => "a time such as 08:00:00Z",
            ValidationErrorKind.TimeSpanExpected => "a duration such as PT1H30M",
            ValidationErrorKind.UriExpected => "an address such as https://example.org/",
            ValidationErrorKind.EmailExpected => "an e-mail address",
            ValidationErrorKind.IpV4Expected => "an IPv4 address",
            ValidationErrorKind.IpV6Expected => "an IPv6 address",
            ValidationErrorKind.HostnameExpected => "a host name",
            ValidationErrorKind.UuidExpected or ValidationErrorKind.GuidExpected => "a UUID",
            ValidationErrorKind.Base64Expected => "base64",
            ValidationErrorKind.StringTooShort => $"at least {error.Schema?.MinLength} characters",
            ValidationErrorKind.StringTooLong => $"at most {error.Schema?.MaxLength} characters",
            ValidationErrorKind.PatternMismatch => $"text that matches {error.Schema?.Pattern}",
            ValidationErrorKind.NumberTooSmall => $"a number of at least {error.Schema?.Minimum}",
            ValidationErrorKind.NumberTooBig => $"a number of at most {error.Schema?.Maximum}",
            ValidationErrorKind.NumberNotMultipleOf or ValidationErrorKind.IntegerTooBig =>
                "a number that the schema allows",
            ValidationErrorKind.TooFewItems => $"at least {error.Schema?.MinItems} items",
            ValidationErrorKind.TooManyItems => $"at most {error.Schema?.MaxItems} items",
            ValidationErrorKind.ItemsNotUnique => "items that are all different",
            _ => "what the schema declares",
        };

    private static string Value(ValidationError error)
    {
        var text = error.Token switch
        {
            null => "",
            Newtonsoft.Json.Linq.JProperty property => property.Value.ToString(Newtonsoft.Json.Formatting.None),
            var token => token.ToString(Newtonsoft.Json.Formatting.None),
        };
        return text.Length is 0 or > ValueShown ? " something else" : $" {text.Replace('"', '\'')}";
    }
}
