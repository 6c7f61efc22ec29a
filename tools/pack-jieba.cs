// Packs jieba's dictionary and hidden Markov model into the resource that JiebaSegmenter reads:
//   dotnet run tools/pack-jieba.cs dict.txt hmm.json src/GlmTune.Evaluation/Metrics/Jieba/jieba-0.42.1.br
//
// dict.txt has `word frequency tag` lines; hmm.json has the log probabilities start, trans and emit by the states B, M,
// E, S. The dictionary becomes a trie in level order, one column after another so that each compresses well:
// node count; per node its number of children; per child its character, less its left sibling's; per node its
// frequency, 0 for a mere prefix;
// total frequency; the model's start [4] and transition [4, 4] values; its distinct emission values; per state its
// characters and which value each has. Whole numbers are 7 bits a byte, least first; real ones 8 bytes. All of it is
// Brotli-compressed. The reader is JiebaTables.cs.
#:property GenerateDocumentationFile=true
using System.IO.Compression;
using System.Text.Json;

if (args is not [var dictionaryPath, var modelPath, var outputPath])
{
    Console.Error.WriteLine("Usage: dotnet run tools/pack-jieba.cs dict.txt hmm.json OUTPUT");
    return 1;
}

const double impossible = -3.14e100;
const char firstHan = '\u4E00',
    lastHan = '\u9FD5';

var root = new Node();
var words = new Dictionary<string, int>(StringComparer.Ordinal);
long total = 0;
foreach (var line in File.ReadLines(dictionaryPath))
{
    var fields = line.Trim().Split(' ');
    // a word that occurs twice has its last frequency, but counts twice in the total
    words[fields[0]] = int.Parse(fields[1]);
    total += words[fields[0]];
}

foreach (var (word, frequency) in words)
{
    var node = root;
    foreach (var character in word)
    {
        node = node.Children.TryGetValue(character, out var child) ? child : node.Children[character] = new Node();
    }

    node.Frequency = frequency;
}

var levels = new List<Node> { root };
for (var i = 0; i < levels.Count; i++)
{
    levels.AddRange(levels[i].Children.Values);
}

using var plain = new MemoryStream();
using var writer = new BinaryWriter(plain);
writer.Write7BitEncodedInt(levels.Count);
levels.ForEach(node => writer.Write7BitEncodedInt(node.Children.Count));
levels.ForEach(node => WriteRising(node.Children.Keys));
levels.ForEach(node => writer.Write7BitEncodedInt(node.Frequency));
writer.Write7BitEncodedInt64(total);

using var model = JsonDocument.Parse(File.ReadAllBytes(modelPath));
string[] states = ["B", "M", "E", "S"];
double Value(JsonElement table, string key) =>
    table.TryGetProperty(key, out var value) ? value.GetDouble() : impossible;
foreach (var state in states)
{
    writer.Write(Value(model.RootElement.GetProperty("start"), state));
}

foreach (var from in states)
{
    foreach (var to in states)
    {
        writer.Write(Value(model.RootElement.GetProperty("trans").GetProperty(from), to));
    }
}

var emissions = states
    .Select(state => new SortedDictionary<char, double>(
        model
            .RootElement.GetProperty("emit")
            .GetProperty(state)
            .EnumerateObject()
            .Where(entry => entry.Name is [>= firstHan and <= lastHan]) // no other character is ever looked up
            .ToDictionary(entry => entry.Name[0], entry => entry.Value.GetDouble())
    ))
    .ToList();
var values = emissions.SelectMany(emission => emission.Values).Distinct().Order().ToList();
writer.Write7BitEncodedInt(values.Count);
values.ForEach(writer.Write);
foreach (var emission in emissions)
{
    writer.Write7BitEncodedInt(emission.Count);
    WriteRising(emission.Keys);
    foreach (var value in emission.Values)
    {
        writer.Write7BitEncodedInt(values.BinarySearch(value));
    }
}

using (var output = new BrotliStream(File.Create(outputPath), CompressionLevel.SmallestSize))
{
    output.Write(plain.ToArray());
}

Console.WriteLine(
    $"{words.Count} words, {levels.Count} nodes, {plain.Length} bytes, compressed {new FileInfo(outputPath).Length}"
);
return 0;

void WriteRising(IEnumerable<char> characters)
{
    var previous = 0;
    foreach (var character in characters)
    {
        writer.Write7BitEncodedInt(character - previous);
        previous = character;
    }
}

internal sealed class Node
{
    public SortedDictionary<char, Node> Children { get; } = [];

    public int Frequency { get; set; }
}
