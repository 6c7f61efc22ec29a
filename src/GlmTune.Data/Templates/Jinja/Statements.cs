namespace GlmTune.Data.Templates.Jinja;

/// <summary>How a statement ended.</summary>
internal enum Flow
{
    /// <summary>The next statement follows.</summary>
    Next,

    /// <summary>The loop ends.</summary>
    Break,

    /// <summary>The loop's next item follows.</summary>
    Continue,
}

/// <summary>A part of a template that writes or changes something.</summary>
/// <param name="Line">Line of the template, from 1.</param>
internal abstract record Statement(int Line)
{
    public abstract Flow Run(Scope scope, RenderOutput output);

    protected static Flow RunAll(IReadOnlyList<Statement> body, Scope scope, RenderOutput output)
    {
        foreach (var statement in body)
        {
            scope.Work.Step(statement.Line);
            if (statement.Run(scope, output) is not Flow.Next and var flow)
            {
                return flow;
            }
        }

        return Flow.Next;
    }
}

/// <summary>Statements one after another: a whole template.</summary>
internal sealed record Body(IReadOnlyList<Statement> Statements) : Statement(1)
{
    public override Flow Run(Scope scope, RenderOutput output) => RunAll(Statements, scope, output);
}

internal sealed record WriteText(int Line, string Text) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        output.Append(Text, Line, scope.Work);
        return Flow.Next;
    }
}

internal sealed record WriteValue(int Line, Expression Value) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        output.Append(Values.Print(Value.In(scope)), Line, scope.Work);
        return Flow.Next;
    }
}

internal sealed record Leave(int Line, Flow Flow) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output) => Flow;
}

internal sealed record If(
    int Line,
    IReadOnlyList<(Expression Condition, IReadOnlyList<Statement> Body)> Branches,
    IReadOnlyList<Statement> Otherwise
) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        foreach (var (condition, body) in Branches)
        {
            if (Values.IsTrue(condition.In(scope)))
            {
                return RunAll(body, scope, output);
            }
        }

        return RunAll(Otherwise, scope, output);
    }
}

internal sealed record For(
    int Line,
    IReadOnlyList<string> Names,
    Expression Items,
    Expression? Condition,
    IReadOnlyList<Statement> Repeated,
    IReadOnlyList<Statement> Otherwise
) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        var items = Filters.Items(Line, Items.In(scope));
        if (Condition is not null)
        {
            items = items.FindAll(item => Values.IsTrue(Condition.In(Inside(scope, item))));
        }

        if (items.Count == 0)
        {
            return RunAll(Otherwise, scope, output);
        }

        for (var i = 0; i < items.Count; i++)
        {
            var inside = Inside(scope, items[i]);
            inside["loop"] = Loop(items, i);
            if (RunAll(Repeated, inside, output) == Flow.Break)
            {
                break;
            }
        }

        return Flow.Next;
    }

    private Scope Inside(Scope scope, object? item)
    {
        scope.Work.Step(Line);
        var inside = new Scope(scope.Work, scope);
        Set.Assign(Line, Names, item, inside);
        return inside;
    }

    private static Namespace Loop(List<object?> items, int place) =>
        new()
        {
            Members =
            {
                ["index"] = place + 1L,
                ["index0"] = (long)place,
                ["revindex"] = (long)items.Count - place,
                ["revindex0"] = items.Count - place - 1L,
                ["first"] = place == 0,
                ["last"] = place == items.Count - 1,
                ["length"] = (long)items.Count,
                ["previtem"] = place == 0 ? new Undefined("loop.previtem") : items[place - 1],
                ["nextitem"] = place == items.Count - 1 ? new Undefined("loop.nextitem") : items[place + 1],
            },
        };
}

/// <summary><c>{% set a = … %}</c>, <c>{% set a, b = … %}</c>, <c>{% set space.a = … %}</c>.</summary>
internal sealed record Set(int Line, IReadOnlyList<string> Names, string? Member, Expression Value) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        var value = Value.In(scope);
        if (Member is null)
        {
            Assign(Line, Names, value, scope);
            return Flow.Next;
        }

        if (scope[Names[0]] is not Namespace space)
        {
            throw new JinjaException(Line, $"'{Names[0]}' is not a namespace, so '{Member}' cannot be set.");
        }

        space.Members[Member] = value;
        return Flow.Next;
    }

    /// <summary>Gives names their values: of one name the value, of several its items.</summary>
    public static void Assign(int line, IReadOnlyList<string> names, object? value, Scope scope)
    {
        if (names.Count == 1)
        {
            scope[names[0]] = value;
            return;
        }

        if (value is not List<object?> items || items.Count != names.Count)
        {
            throw new JinjaException(line, $"{Values.TypeOf(value)} does not have {names.Count} items to set.");
        }

        foreach (var (name, item) in names.Zip(items))
        {
            scope[name] = item;
        }
    }
}

/// <summary><c>{% set a %}</c> … <c>{% endset %}</c>.</summary>
internal sealed record SetText(int Line, string Name, IReadOnlyList<Statement> Written) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        var text = new RenderOutput();
        RunAll(Written, new Scope(scope.Work, scope), text);
        scope[Name] = text.ToString();
        return Flow.Next;
    }
}

/// <summary><c>{% generation %}</c> … <c>{% endgeneration %}</c>: what the model writes.</summary>
internal sealed record Generation(int Line, IReadOnlyList<Statement> Written) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        var start = output.Length;
        var flow = RunAll(Written, new Scope(scope.Work, scope), output);
        output.MarkGenerated(start);
        return flow;
    }
}

internal sealed record Macro(
    int Line,
    string Name,
    IReadOnlyList<(string Name, Expression? Otherwise)> Parameters,
    IReadOnlyList<Statement> Written
) : Statement(Line)
{
    public override Flow Run(Scope scope, RenderOutput output)
    {
        scope[Name] = (Callable)((line, given, named) => Call(line, scope, given, named));
        return Flow.Next;
    }

    private string Call(int line, Scope scope, IReadOnlyList<object?> given, IReadOnlyDictionary<string, object?> named)
    {
        if (given.Count > Parameters.Count)
        {
            throw new JinjaException(line, $"macro '{Name}' takes {Parameters.Count} values; found {given.Count}.");
        }

        if (named.Keys.FirstOrDefault(key => Parameters.All(parameter => parameter.Name != key)) is { } other)
        {
            throw new JinjaException(line, $"macro '{Name}' has no '{other}'.");
        }

        scope.Work.Enter(line);
        var inside = new Scope(scope.Work, scope);
        foreach (var (place, (name, otherwise)) in Parameters.Index())
        {
            inside[name] =
                place < given.Count ? given[place]
                : named.TryGetValue(name, out var value) ? value
                : otherwise is null ? new Undefined(name)
                : otherwise.In(inside);
        }

        var text = new RenderOutput();
        RunAll(Written, inside, text);
        scope.Work.Leave();
        return text.ToString();
    }
}
