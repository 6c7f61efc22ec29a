using System.Runtime.CompilerServices;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>A part of a template that has a value.</summary>
/// <param name="Line">Line of the template, from 1.</param>
internal abstract record Expression(int Line)
{
    /// <summary>The value, with the work counted.</summary>
    public object? In(Scope scope)
    {
        scope.Work.Step(Line);
        return RuntimeHelpers.TryEnsureSufficientExecutionStack()
            ? Evaluate(scope)
            : throw Error("expressions are nested too deeply.");
    }

    protected abstract object? Evaluate(Scope scope);

    protected JinjaException Error(string problem) => new(Line, problem);
}

internal sealed record Literal(int Line, object? Value) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) => Value;
}

internal sealed record NameOf(int Line, string Name) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) => scope[Name];
}

internal sealed record ListOf(int Line, IReadOnlyList<Expression> Items) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) => Items.Select(item => item.In(scope)).ToList();
}

internal sealed record TupleOf(int Line, IReadOnlyList<Expression> Items) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) => new TupleValue(Items.Select(item => item.In(scope)));
}

internal sealed record ObjectOf(int Line, IReadOnlyList<(Expression Key, Expression Value)> Members) : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        var members = new OrderedDictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (key, value) in Members)
        {
            members[key.In(scope) as string ?? throw Error("a key of an object is not a string.")] = value.In(scope);
        }

        return members;
    }
}

internal sealed record Negated(int Line, Expression Value) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) => !Values.IsTrue(Value.In(scope));
}

/// <summary><c>and</c>, <c>or</c>: the value that decides.</summary>
internal sealed record Either(int Line, bool IsOr, Expression Left, Expression Right) : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        var left = Left.In(scope);
        return Values.IsTrue(left) == IsOr ? left : Right.In(scope);
    }
}

internal sealed record Choice(int Line, Expression Then, Expression If, Expression? Otherwise) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) =>
        Values.IsTrue(If.In(scope)) ? Then.In(scope)
        : Otherwise is null ? new Undefined("the value without 'else'")
        : Otherwise.In(scope);
}

/// <summary>A chain such as <c>a &lt; b &lt;= c</c>.</summary>
internal sealed record Comparison(int Line, Expression First, IReadOnlyList<(string Operator, Expression Value)> Others)
    : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        var left = First.In(scope);
        foreach (var (name, value) in Others)
        {
            var right = value.In(scope);
            if (!Holds(name, left, right))
            {
                return false;
            }

            left = right;
        }

        return true;
    }

    private bool Holds(string name, object? left, object? right) =>
        name switch
        {
            "==" => Values.AreEqual(left, right),
            "!=" => !Values.AreEqual(left, right),
            "in" => Operations.Contains(Line, right, left),
            "not in" => !Operations.Contains(Line, right, left),
            "<" => Operations.Compare(Line, left, right) < 0,
            "<=" => Operations.Compare(Line, left, right) <= 0,
            ">" => Operations.Compare(Line, left, right) > 0,
            _ => Operations.Compare(Line, left, right) >= 0,
        };
}

internal sealed record Binary(int Line, string Operator, Expression Left, Expression Right) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) =>
        Operations.Binary(Line, Operator, Left.In(scope), Right.In(scope), scope.Work);
}

internal sealed record Signed(int Line, bool IsMinus, Expression Value) : Expression(Line)
{
    protected override object? Evaluate(Scope scope) =>
        Value.In(scope) switch
        {
            double number => (object)(IsMinus ? -number : number),
            var value when Values.Whole(value) is { } whole => IsMinus ? unchecked(-whole) : whole,
            var value => throw Error($"{Values.TypeOf(value)} has no sign."),
        };
}

/// <summary><c>x.name</c> and <c>x['name']</c>.</summary>
internal sealed record MemberOf(int Line, Expression Of, Expression Key, bool IsAttribute) : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        var (of, key) = (Of.In(scope), Key.In(scope));
        return of switch
        {
            Undefined undefined => throw Error($"'{undefined.Name}' is undefined, so it has no '{Values.Print(key)}'."),
            Namespace space when key is string name => space.Members.TryGetValue(name, out var value)
                ? value
                : new Undefined(name),
            OrderedDictionary<string, object?> members when key is string name => members.TryGetValue(
                name,
                out var value
            )
                ? value
                : new Undefined(name),
            List<object?> list when Values.Whole(key) is { } place => At(list, place),
            string text when Values.Whole(key) is { } place => At([.. Values.Characters(text)], place),
            _ => new Undefined(Values.Print(key)),
        };
    }

    private static object? At(List<object?> list, long place)
    {
        var from = place < 0 ? place + list.Count : place;
        return from >= 0 && from < list.Count ? list[(int)from] : new Undefined($"item {place}");
    }
}

internal sealed record SliceOf(int Line, Expression Of, Expression? Start, Expression? Stop, Expression? Step)
    : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        var of = Of.In(scope);
        var (start, stop, step) = (Bound(Start, scope), Bound(Stop, scope), Bound(Step, scope) ?? 1);
        if (step == 0)
        {
            throw Error("the step of a slice is 0.");
        }

        return of switch
        {
            string text => string.Concat(Cut(Values.Characters(text), start, stop, step)),
            List<object?> list => Cut(list, start, stop, step),
            _ => throw Error($"{Values.TypeOf(of)} has no slices."),
        };
    }

    private long? Bound(Expression? bound, Scope scope) =>
        bound?.In(scope) switch
        {
            null => null,
            var value => Values.Whole(value) ?? throw Error("a bound of a slice is not an integer."),
        };

    private static List<T> Cut<T>(List<T> items, long? start, long? stop, long step)
    {
        long Within(long? bound, long otherwise) =>
            bound is { } given
                ? Math.Clamp(
                    given < 0 ? given + items.Count : given,
                    step > 0 ? 0 : -1,
                    step > 0 ? items.Count : items.Count - 1
                )
                : otherwise;
        var (from, to) = (Within(start, step > 0 ? 0 : items.Count - 1), Within(stop, step > 0 ? items.Count : -1));
        var cut = new List<T>();
        for (var i = from; step > 0 ? i < to : i > to; i += step)
        {
            cut.Add(items[(int)i]);
        }

        return cut;
    }
}

/// <summary>Arguments as written.</summary>
/// <param name="Positional">By position.</param>
/// <param name="Named">By name.</param>
internal sealed record Arguments(
    IReadOnlyList<Expression> Positional,
    IReadOnlyList<(string Name, Expression Value)> Named
)
{
    public static Arguments None { get; } = new([], []);

    public (List<object?> Positional, Dictionary<string, object?> Named) In(Scope scope) =>
        (
            [.. Positional.Select(value => value.In(scope))],
            Named.ToDictionary(pair => pair.Name, pair => pair.Value.In(scope), StringComparer.Ordinal)
        );
}

/// <summary>A call of a macro, a function or a method.</summary>
internal sealed record Call(int Line, Expression Target, Arguments Given) : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        if (Target is MemberOf { IsAttribute: true, Key: Literal { Value: string name } } member)
        {
            var of = member.Of.In(scope);
            if (of is not Namespace)
            {
                var (values, names) = Given.In(scope);
                return Methods.Call(Line, of, name, values, names, scope.Work);
            }
        }

        var (positional, named) = Given.In(scope);
        return Target.In(scope) switch
        {
            Callable callable => callable(Line, positional, named),
            Undefined undefined => throw Error($"there is no function '{undefined.Name}'."),
            var value => throw Error($"{Values.TypeOf(value)} cannot be called."),
        };
    }
}

internal sealed record Filtered(int Line, Expression Value, string Name, Arguments Given) : Expression(Line)
{
    protected override object? Evaluate(Scope scope)
    {
        var value = Value.In(scope);
        var (positional, named) = Given.In(scope);
        return Filters.Apply(Line, Name, value, positional, named, scope.Work);
    }
}

internal sealed record Tested(int Line, Expression Value, string Name, IReadOnlyList<Expression> Given, bool IsNegated)
    : Expression(Line)
{
    protected override object? Evaluate(Scope scope) =>
        Checks.Holds(Line, Name, Value.In(scope), [.. Given.Select(value => value.In(scope))]) != IsNegated;
}
