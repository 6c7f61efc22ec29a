using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace GlmTune.Cli.Tests.Language;

/// <summary>The texts that the source can build from its string literals: concatenations and interpolations as one
/// text, with <see cref="Hole"/> for each value, and one text for each branch of a condition inside.</summary>
internal static class SourceTexts
{
    /// <summary>Stands for an interpolated value.</summary>
    public const char Hole = '\uFFFC';

    private const int MaxTexts = 48;

    /// <summary>A text of the source.</summary>
    /// <param name="Text">The text, with holes.</param>
    /// <param name="Use">What it is for: the name of the exception thrown, the method called, or the property set;
    /// empty if unknown.</param>
    /// <param name="Line">Line in the file, from 1.</param>
    /// <param name="IsPart">Whether it is an outcome of a condition within another text.</param>
    public sealed record Found(string Text, string Use, int Line, bool IsPart);

    private static readonly Lazy<IReadOnlyList<(string File, Found Text)>> Everything = new(() =>
        [
            .. Directory
                .EnumerateFiles(Run.InRepository("src"), "*.cs", SearchOption.AllDirectories)
                .Select(file => Path.GetRelativePath(Run.InRepository("src"), file).Replace('\\', '/'))
                .Where(file => !file.Split('/').Any(part => part is "bin" or "obj"))
                .Order(StringComparer.Ordinal)
                .SelectMany(file => Of(File.ReadAllText(Run.InRepository($"src/{file}"))).Select(text => (file, text))),
        ]
    );

    /// <summary>The texts of all source files, with the file's path below <c>src</c>.</summary>
    public static IReadOnlyList<(string File, Found Text)> All => Everything.Value;

    /// <summary>All texts of a file.</summary>
    public static IEnumerable<Found> Of(string source)
    {
        var tree = CSharpSyntaxTree.ParseText(source);
        foreach (var expression in tree.GetRoot().DescendantNodes().OfType<ExpressionSyntax>().Where(IsText))
        {
            var outer = Outer(expression, branches: false);
            if (outer is not null && IsText(outer))
            {
                continue;
            }

            var line = tree.GetLineSpan(expression.Span).StartLinePosition.Line + 1;
            foreach (var text in Texts(expression).Distinct())
            {
                yield return new Found(
                    text,
                    Use(expression),
                    line,
                    Outer(expression, branches: true) is { } whole && IsText(whole)
                );
            }
        }
    }

    // The expression around one; with branches, around the conditions of which it is an outcome.
    private static ExpressionSyntax? Outer(ExpressionSyntax expression, bool branches)
    {
        var outer = expression.Parent;
        while (
            outer is ParenthesizedExpressionSyntax
            || branches
                && outer
                    is ConditionalExpressionSyntax
                        or SwitchExpressionArmSyntax
                        or SwitchExpressionSyntax
                        or InterpolationSyntax
        )
        {
            outer = outer.Parent;
        }

        return outer as ExpressionSyntax;
    }

    private static bool IsText(ExpressionSyntax expression) =>
        expression switch
        {
            LiteralExpressionSyntax literal => literal.IsKind(SyntaxKind.StringLiteralExpression),
            InterpolatedStringExpressionSyntax => true,
            BinaryExpressionSyntax { RawKind: (int)SyntaxKind.AddExpression } sum => IsText(sum.Left)
                || IsText(sum.Right),
            ParenthesizedExpressionSyntax inner => IsText(inner.Expression),
            _ => false,
        };

    private static string Use(ExpressionSyntax expression)
    {
        for (SyntaxNode? node = expression.Parent; node is not null; node = node.Parent)
        {
            switch (node)
            {
                case ObjectCreationExpressionSyntax made:
                    return $"new {made.Type}";
                case InvocationExpressionSyntax call when call.Expression.ToString() is not "string.Create":
                    return call.Expression switch
                    {
                        MemberAccessExpressionSyntax member => member.Name.ToString(),
                        var name => name.ToString(),
                    };
                case AssignmentExpressionSyntax set:
                    return set.Left.ToString();
                case MethodDeclarationSyntax method:
                    return method.Identifier.Text;
                case StatementSyntax:
                    return node.FirstAncestorOrSelf<MethodDeclarationSyntax>()?.Identifier.Text ?? "";
            }
        }

        return "";
    }

    // Every text that an expression can be; holes for what is not known here.
    private static IReadOnlyList<string> Texts(ExpressionSyntax expression) =>
        expression switch
        {
            LiteralExpressionSyntax literal when literal.IsKind(SyntaxKind.StringLiteralExpression) =>
            [
                literal.Token.ValueText,
            ],
            InterpolatedStringExpressionSyntax text => text.Contents.Aggregate(
                (IReadOnlyList<string>)[""],
                (done, part) => Joined(done, Texts(part))
            ),
            BinaryExpressionSyntax { RawKind: (int)SyntaxKind.AddExpression } sum => Joined(
                Texts(sum.Left),
                Texts(sum.Right)
            ),
            ParenthesizedExpressionSyntax inner => Texts(inner.Expression),
            ConditionalExpressionSyntax choice => [.. Texts(choice.WhenTrue), .. Texts(choice.WhenFalse)],
            SwitchExpressionSyntax choice => [.. choice.Arms.SelectMany(arm => Texts(arm.Expression))],
            _ => [$"{Hole}"],
        };

    private static IReadOnlyList<string> Texts(InterpolatedStringContentSyntax part) =>
        part switch
        {
            InterpolatedStringTextSyntax text => [text.TextToken.ValueText.Replace("{{", "{").Replace("}}", "}")],
            InterpolationSyntax value => Texts(value.Expression),
            _ => [$"{Hole}"],
        };

    private static IReadOnlyList<string> Joined(IReadOnlyList<string> left, IReadOnlyList<string> right) =>
        left.Count * right.Count > MaxTexts
            ? [.. left.Select(text => text + Hole)]
            : [.. left.SelectMany(first => right.Select(second => first + second))];
}
