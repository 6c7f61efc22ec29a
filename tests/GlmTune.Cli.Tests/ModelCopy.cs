using System.Buffers.Binary;
using System.Text.Json.Nodes;

namespace GlmTune.Cli;

/// <summary>A copy of a model's or an adapter's folder that a test may damage.</summary>
public sealed class ModelCopy : IDisposable
{
    private readonly TemporaryFolder folder = new();

    /// <summary>Copies a folder of the golden data.</summary>
    public ModelCopy(string golden)
        : this(new DirectoryInfo(GoldenData.Path(golden))) { }

    private ModelCopy(DirectoryInfo source)
    {
        foreach (var file in Directory.EnumerateFiles(source.FullName))
        {
            File.Copy(file, At(System.IO.Path.GetFileName(file)));
        }
    }

    /// <summary>Copies the shipped model, which has a tokenizer.</summary>
    public static ModelCopy OfNano() => new(new DirectoryInfo(Run.InRepository("models/glm-nano")));

    /// <summary>The copy.</summary>
    public string Path => folder.Path;

    public string At(string name) => folder.At(name);

    public void Write(string name, string text) => folder.Write(name, text);

    /// <summary>Changes a JSON file.</summary>
    public void Edit(string name, Action<JsonObject> change)
    {
        var json = JsonNode.Parse(File.ReadAllText(At(name)))!.AsObject();
        change(json);
        File.WriteAllText(At(name), json.ToJsonString());
    }

    /// <summary>Changes a safetensors file's header.</summary>
    public void EditHeader(string name, Action<JsonObject> change)
    {
        var bytes = File.ReadAllBytes(At(name));
        var length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        var json = JsonNode.Parse(bytes.AsSpan(8, length))!.AsObject();
        change(json);
        var header = System.Text.Encoding.UTF8.GetBytes(json.ToJsonString());
        var size = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(size, header.Length);
        File.WriteAllBytes(At(name), [.. size, .. header, .. bytes[(8 + length)..]]);
    }

    /// <summary>Renames all tensors of a safetensors file.</summary>
    public void Rename(string name, Func<string, string> rename) =>
        EditHeader(
            name,
            json =>
            {
                foreach (var (tensor, value) in json.ToList().Where(pair => pair.Key != "__metadata__"))
                {
                    json.Remove(tensor);
                    json[rename(tensor)] = value!.DeepClone();
                }
            }
        );

    public void Dispose() => folder.Dispose();
}
