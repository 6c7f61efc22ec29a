namespace GlmTune.Data.Templates.Jinja;

/// <summary>What may follow <c>is</c>: Jinja's tests.</summary>
internal static class Checks
{
    /// <summary>Whether a test is true.</summary>
    /// <exception cref="JinjaException">The test is not supported.</exception>
    public static bool Holds(int line, string name, object? value, IReadOnlyList<object?> given) =>
        name switch
        {
            "defined" => value is not Undefined,
            "undefined" => value is Undefined,
            "none" => value is null,
            "string" => value is string,
            "mapping" => value is OrderedDictionary<string, object?>,
            "sequence" => value is string or List<object?> or OrderedDictionary<string, object?>,
            "iterable" => value is string or List<object?> or OrderedDictionary<string, object?> or Undefined,
            "number" => value is bool or long or double,
            "integer" => value is long,
            "float" => value is double,
            "boolean" => value is bool,
            "true" => value is true,
            "false" => value is false,
            "callable" => value is Callable,
            "odd" => Values.Whole(value) is { } odd && odd % 2 != 0,
            "even" => Values.Whole(value) is { } even && even % 2 == 0,
            "equalto" or "eq" or "==" => Values.AreEqual(value, Only(line, name, given)),
            "ne" or "!=" => !Values.AreEqual(value, Only(line, name, given)),
            "in" => Operations.Contains(line, Only(line, name, given), value),
            "gt" or "greaterthan" or ">" => Operations.Compare(line, value, Only(line, name, given)) > 0,
            "ge" or ">=" => Operations.Compare(line, value, Only(line, name, given)) >= 0,
            "lt" or "lessthan" or "<" => Operations.Compare(line, value, Only(line, name, given)) < 0,
            "le" or "<=" => Operations.Compare(line, value, Only(line, name, given)) <= 0,
            "divisibleby" => Values.Whole(value) is { } whole
                && Values.Whole(Only(line, name, given)) is { } by and not 0
                && whole % by == 0,
            _ => throw new JinjaException(line, $"the test '{name}' is not supported."),
        };

    private static object? Only(int line, string name, IReadOnlyList<object?> given) =>
        given.Count == 1 ? given[0] : throw new JinjaException(line, $"the test '{name}' takes one value.");
}
