namespace GlmTune.Data.Templates.Jinja;

/// <summary>The names that a part of a template sees: its own, then those around it.</summary>
internal sealed class Scope(RenderWork work, Scope? outer = null)
{
    private readonly Dictionary<string, object?> names = new(StringComparer.Ordinal);

    /// <summary>What the rendering has used so far.</summary>
    public RenderWork Work => work;

    /// <summary>The value of a name.</summary>
    public object? this[string name]
    {
        get
        {
            for (var scope = this; scope is not null; scope = scope.Outer)
            {
                if (scope.names.TryGetValue(name, out var value))
                {
                    return value;
                }
            }

            return new Undefined(name);
        }
        set => names[name] = value;
    }

    private Scope? Outer => outer;
}

/// <summary>Limits the work of a rendering: a template is a program, and may come from anyone.</summary>
/// <param name="maxSteps">Expressions and statements that may be evaluated.</param>
/// <param name="maxCharacters">Characters that may be written, and that a value may have.</param>
internal sealed class RenderWork(long maxSteps, long maxCharacters)
{
    private const int MaxDepth = 200;

    private long steps;
    private int depth;

    /// <summary>Counts a step.</summary>
    /// <exception cref="JinjaException">There were too many.</exception>
    public void Step(int line)
    {
        if (++steps > maxSteps)
        {
            throw new JinjaException(line, $"it takes more than {maxSteps} steps for one conversation.");
        }
    }

    /// <summary>Checks the length of a text or a list before it is made.</summary>
    /// <exception cref="JinjaException">It is too long.</exception>
    public void Size(int line, long characters)
    {
        Check(line, characters);
        steps += characters / 64;
    }

    /// <summary>Checks the length of a text that grows.</summary>
    /// <exception cref="JinjaException">It is too long.</exception>
    public void Check(int line, long characters)
    {
        if (characters > maxCharacters)
        {
            throw new JinjaException(line, $"it makes a value of more than {maxCharacters} characters.");
        }
    }

    /// <summary>Enters a macro.</summary>
    /// <exception cref="JinjaException">Macros call each other too deeply.</exception>
    public void Enter(int line)
    {
        if (++depth > MaxDepth)
        {
            throw new JinjaException(line, $"macros call each other more than {MaxDepth} deep.");
        }
    }

    /// <summary>Leaves a macro.</summary>
    public void Leave() => depth--;
}
