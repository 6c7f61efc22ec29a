using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads a YAML document into a tree with locations. Tags other than plain data types are refused, so a file
/// cannot create objects or run code.</summary>
internal sealed class YamlTree
{
    private const int MaxDepth = 64;
    private const string StandardTags = "tag:yaml.org,2002:";
    private static readonly string[] PlainTypes = ["str", "int", "float", "bool", "null", "seq", "map"];
    private readonly IParser parser;
    private readonly string source;
    private readonly int? fixedLine;
    private readonly Problems problems;
    private readonly Dictionary<string, ConfigNode> anchors = [];

    private YamlTree(IParser parser, string source, int? fixedLine, Problems problems) =>
        (this.parser, this.source, this.fixedLine, this.problems) = (parser, source, fixedLine, problems);

    /// <summary>The document's root; null, with a problem, when it cannot be read. <paramref name="fixedLine"/>
    /// replaces the lines of the text.</summary>
    public static ConfigNode? Read(TextReader text, string source, Problems problems, int? fixedLine = null)
    {
        var parser = new Parser(new Scanner(text, skipComments: true));
        try
        {
            return new YamlTree(parser, source, fixedLine, problems).Document();
        }
        catch (YamlException e)
        {
            var at = new SourceLine(source, fixedLine ?? (int)e.End.Line);
            problems.Add(at, $"invalid YAML: {Shorten(e.Message)}");
            return null;
        }
        catch (InvalidOperationException)
        {
            // The scanner gives up in this way on some damaged texts, such as a line break in an unquoted key.
            var at = new SourceLine(source, fixedLine ?? (int)(parser.Current?.End.Line ?? 1));
            problems.Add(at, "invalid YAML after this line");
            return null;
        }
    }

    private static string Shorten(string message)
    {
        // The parser puts its own "(Line: …, Col: …)" before the text.
        var text =
            message.StartsWith('(') && message.Contains("): ", StringComparison.Ordinal)
                ? message[(message.IndexOf("): ", StringComparison.Ordinal) + 3)..]
                : message;
        return text.TrimEnd('.');
    }

    private SourceLine At(ParsingEvent e) => new(source, fixedLine ?? (int)e.Start.Line);

    private ConfigNode? Document()
    {
        parser.Consume<StreamStart>();
        if (parser.TryConsume<StreamEnd>(out var end))
        {
            return new ConfigText("", false, At(end));
        }

        parser.Consume<DocumentStart>();
        var root = Node(0);
        parser.Consume<DocumentEnd>();
        if (!parser.TryConsume<StreamEnd>(out _))
        {
            problems.Add(At(parser.Current!), "a second document starts here; a recipe is a single document");
            return null;
        }

        return root;
    }

    private ConfigNode Node(int depth)
    {
        if (parser.TryConsume<AnchorAlias>(out var alias))
        {
            if (anchors.TryGetValue(alias.Value.Value, out var target))
            {
                return target;
            }

            problems.Add(At(alias), $"'*{alias.Value}' refers to an anchor that is not defined before it");
            return new ConfigText("", false, At(alias));
        }

        if (depth > MaxDepth)
        {
            throw new YamlException(
                parser.Current!.Start,
                parser.Current.End,
                $"values are nested more than {MaxDepth} levels deep"
            );
        }

        var start = parser.Consume<NodeEvent>();
        var at = At(start);
        if (
            !start.Tag.IsEmpty
            && !start.Tag.IsNonSpecific
            && !PlainTypes.Any(type => start.Tag.Value == StandardTags + type)
        )
        {
            problems.Add(at, $"the tag '{start.Tag.Value}' is not allowed here; write the plain value");
        }

        ConfigNode node = start switch
        {
            Scalar scalar => new ConfigText(scalar.Value, scalar.Style != ScalarStyle.Plain, at),
            SequenceStart => List(at, depth),
            _ => Map(at, depth),
        };
        if (!start.Anchor.IsEmpty)
        {
            anchors[start.Anchor.Value] = node;
        }

        return node;
    }

    private ConfigList List(SourceLine at, int depth)
    {
        var items = new List<ConfigNode>();
        while (!parser.TryConsume<SequenceEnd>(out _))
        {
            items.Add(Node(depth + 1));
        }

        return new ConfigList(items, at);
    }

    private ConfigMap Map(SourceLine at, int depth)
    {
        var map = new ConfigMap(at);
        var merged = new List<ConfigMap>();
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            var key = Node(depth + 1);
            var value = Node(depth + 1);
            switch (key, value)
            {
                case (ConfigText { Text: "<<" }, ConfigMap other):
                    merged.Add(other);
                    break;
                case (ConfigText text, _) when map.Find(text.Text) is { } first:
                    problems.Add(key.At, $"duplicate key '{text.Text}'; first on line {first.At.Line}");
                    break;
                case (ConfigText text, _):
                    map.Set(new ConfigEntry(text.Text, key.At, value));
                    break;
                default:
                    problems.Add(key.At, $"a key must be a word, not {key.Describe()}");
                    break;
            }
        }

        foreach (var entry in merged.SelectMany(other => other.Entries).Where(entry => map.Find(entry.Key) is null))
        {
            map.Set(entry);
        }

        return map;
    }
}
