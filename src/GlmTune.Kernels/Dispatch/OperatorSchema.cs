using System.Globalization;

namespace GlmTune.Kernels.Dispatch;

/// <summary>The declaration of an ATen operator, parsed from libtorch's own text.</summary>
/// <param name="Name">Name with namespace, such as <c>aten::add</c>.</param>
/// <param name="Overload">Name of the overload, such as <c>Tensor</c>; empty for the plain one.</param>
/// <param name="Parameters">The parameters in order.</param>
/// <param name="Returns">Kinds of the returned values, in order.</param>
internal sealed record OperatorSchema(string Name, string Overload, Parameter[] Parameters, Parameter[] Returns)
{
    /// <summary>Parses <c>aten::name.overload(Type name=default, *, …) -> (Type, …)</c>.</summary>
    /// <exception cref="ArgumentException">The text is not such a declaration, or contains a type that cannot cross the
    /// C interface.</exception>
    public static OperatorSchema Parse(string text)
    {
        var open = text.IndexOf('(', StringComparison.Ordinal);
        var arrow = text.LastIndexOf("->", StringComparison.Ordinal);
        var close = arrow < 0 ? -1 : text.LastIndexOf(')', arrow);
        if (open <= 0 || close < open)
        {
            throw new ArgumentException(
                $"'{text}' is not an operator schema: expected 'aten::name(Tensor self, …) -> Tensor'.",
                nameof(text)
            );
        }

        var name = text[..open].Trim().Split('.', 2);
        var returns = text[(arrow + 2)..].Trim();
        if (returns.StartsWith('('))
        {
            returns = returns[1..^1];
        }

        return new OperatorSchema(
            name[0],
            name.Length > 1 ? name[1] : "",
            [.. Split(text[(open + 1)..close]).Where(part => part != "*").Select(part => Parameter.Parse(part, text))],
            [.. Split(returns).Select(part => Parameter.Parse(part, text))]
        );
    }

    // Commas inside "Tensor(a!)[]" or a default "[0, 1]" do not separate.
    private static IEnumerable<string> Split(string list)
    {
        var depth = 0;
        var start = 0;
        for (var i = 0; i <= list.Length; i++)
        {
            if (i == list.Length || (list[i] == ',' && depth == 0))
            {
                if (list[start..i].Trim() is { Length: > 0 } part)
                {
                    yield return part;
                }

                start = i + 1;
            }
            else
            {
                depth +=
                    list[i] is '(' or '[' ? 1
                    : list[i] is ')' or ']' ? -1
                    : 0;
            }
        }
    }
}

/// <summary>One parameter or returned value of a schema.</summary>
/// <param name="Name">The declared name; empty if a returned value has none.</param>
/// <param name="Kind">Kind of the value, or <see cref="ArgumentKind.List"/>.</param>
/// <param name="Element">Kind of a list's elements.</param>
/// <param name="Optional">Whether None is allowed.</param>
/// <param name="Default">Value for a trailing argument that is omitted; null: it is required.</param>
internal sealed record Parameter(string Name, ArgumentKind Kind, ArgumentKind Element, bool Optional, Argument? Default)
{
    public static Parameter Parse(string text, string schema)
    {
        var parts = text.Split('=', 2);
        var declaration = parts[0].Trim();
        var space = declaration.LastIndexOf(' ');
        var (type, name) = space < 0 ? (declaration, "") : (declaration[..space], declaration[(space + 1)..]);
        var optional = type.EndsWith('?');
        type = WithoutAlias(type.TrimEnd('?'));
        var bracket = type.IndexOf('[', StringComparison.Ordinal);
        var element = KindOf((bracket < 0 ? type : type[..bracket]).TrimEnd('?'), schema);
        var kind = bracket < 0 ? element : ArgumentKind.List;
        return new Parameter(
            name,
            kind,
            element,
            optional,
            parts.Length == 1 ? (Argument?)null : ParseDefault(parts[1].Trim(), kind, schema)
        );
    }

    /// <summary>Whether an argument of this kind is accepted.</summary>
    public bool Accepts(in Argument argument) =>
        argument.Kind switch
        {
            ArgumentKind.None => Optional,
            ArgumentKind.List => Kind == ArgumentKind.List && (ArgumentKind)argument.Bits == Element,
            ArgumentKind.Integer => Kind is ArgumentKind.Integer or ArgumentKind.Float,
            _ => argument.Kind == Kind,
        };

    // "Tensor(a!)[]" -> "Tensor[]"
    private static string WithoutAlias(string type)
    {
        var open = type.IndexOf('(', StringComparison.Ordinal);
        return open < 0 ? type : type[..open] + type[(type.IndexOf(')', StringComparison.Ordinal) + 1)..];
    }

    private static ArgumentKind KindOf(string type, string schema) =>
        type switch
        {
            "Tensor" => ArgumentKind.Tensor,
            "int" or "SymInt" => ArgumentKind.Integer,
            "float" => ArgumentKind.Float,
            "bool" => ArgumentKind.Boolean,
            "str" => ArgumentKind.Text,
            "ScalarType" => ArgumentKind.ScalarType,
            "Device" => ArgumentKind.Device,
            _ => throw new ArgumentException(
                $"'{schema}': values of type '{type}' cannot cross libtorch's C interface.",
                nameof(schema)
            ),
        };

    private static Argument ParseDefault(string text, ArgumentKind kind, string schema) =>
        (text, kind) switch
        {
            ("None", _) => Argument.None,
            ("True" or "False", ArgumentKind.Boolean) => text == "True",
            (_, ArgumentKind.Float) => double.Parse(text, CultureInfo.InvariantCulture),
            (_, ArgumentKind.Integer) => long.Parse(text, CultureInfo.InvariantCulture),
            _ => throw new ArgumentException(
                $"'{schema}': unsupported default '{text}'; omit it and pass a value.",
                nameof(schema)
            ),
        };
}
