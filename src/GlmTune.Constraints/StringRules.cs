namespace GlmTune.Constraints;

/// <summary>Strings in a schema: minLength, maxLength, pattern, format.</summary>
internal sealed class StringRules(JsonSchemaGrammar schema, JsonGrammar json, TextGrammar texts)
{
    private readonly ByteGrammar grammar = json.Grammar;
    private readonly Dictionary<string, TextMachine> machines = new(StringComparer.Ordinal);

    /// <summary>Whether a listed string satisfies the other keywords.</summary>
    public bool Fits(string text, SchemaShape shape)
    {
        var length = text.EnumerateRunes().Count();
        return length >= shape.MinLength
            && length <= shape.MaxLength
            && Machines(shape).All(machine => machine.Takes(text));
    }

    /// <summary>Builds the rule for a string.</summary>
    public int Build(SchemaShape shape, int next)
    {
        var (least, most) = (shape.MinLength, shape.MaxLength);
        if (least > most)
        {
            return schema.Nothing(shape, "minLength is above maxLength");
        }

        var known = shape.Formats.Where(StringFormats.Patterns.ContainsKey).ToList();
        if (shape.Patterns.Count + known.Count == 0)
        {
            return json.String(least, most, next);
        }

        // A single pattern may have any number of states.
        if (shape.Patterns is [var only] && known.Count == 0 && least == 0 && most == ByteGrammar.Unbounded)
        {
            try
            {
                var pattern = Pattern.Read(only);
                return TryMachine(only, pattern) is { } machine
                    ? texts.String(machine, least, most, next)
                    : texts.String(pattern, next);
            }
            catch (FormatException e)
            {
                throw new ArgumentException($"schema {shape.Path}: pattern '{only}' {e.Message}");
            }
        }

        try
        {
            return texts.String(Intersect(Machines(shape), shape), least, most, next);
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"schema {shape.Path}: the combination of pattern and format {e.Message}");
        }
    }

    public List<TextMachine> Machines(SchemaShape shape) =>
        [
            .. shape.Patterns.Select(pattern => Machine(pattern, shape)),
            .. shape
                .Formats.Where(StringFormats.Patterns.ContainsKey)
                .Select(format => Machine(StringFormats.Patterns[format], shape)),
        ];

    public TextMachine Intersect(List<TextMachine> all, SchemaShape shape)
    {
        try
        {
            return all.Aggregate((a, b) => a.And(b, grammar.Spend));
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"schema {shape.Path}: the combination of pattern and format {e.Message}");
        }
    }

    public TextMachine Machine(string pattern, SchemaShape shape)
    {
        try
        {
            return TryMachine(pattern, Pattern.Read(pattern))
                ?? throw new FormatException("needs too many states together with a length, a format or other names");
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"schema {shape.Path}: pattern '{pattern}' {e.Message}");
        }
    }

    private TextMachine? TryMachine(string text, Pattern pattern)
    {
        if (!machines.TryGetValue(text, out var machine))
        {
            try
            {
                machines[text] = machine = TextMachine.Of(pattern, grammar.Spend);
            }
            catch (FormatException)
            {
                return null;
            }
        }

        return machine;
    }
}
