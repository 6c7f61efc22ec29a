using System.Text;

namespace GlmTune.Weights.Gguf;

/// <summary>The metadata of a GGUF file: typed values by key, in the order in which they are added.</summary>
internal sealed class GgufMetadata
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    private readonly List<(string Key, Action<BinaryWriter> Write)> entries = [];

    /// <summary>Number of entries.</summary>
    public int Count => entries.Count;

    /// <summary>Adds a text.</summary>
    /// <exception cref="ArgumentException">The key is already there.</exception>
    public void Add(string key, string value) => Add(key, Kind.Text, file => Write(file, value));

    /// <summary>Adds a number that is not negative.</summary>
    /// <exception cref="ArgumentException">The key is already there.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The number is negative.</exception>
    public void Add(string key, int value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        Add(key, Kind.Uint32, file => file.Write((uint)value));
    }

    /// <summary>Adds a number in single precision.</summary>
    /// <exception cref="ArgumentException">The key is already there.</exception>
    public void Add(string key, float value) => Add(key, Kind.Float32, file => file.Write(value));

    /// <summary>Adds a yes or no.</summary>
    /// <exception cref="ArgumentException">The key is already there.</exception>
    public void Add(string key, bool value) => Add(key, Kind.Flag, file => file.Write(value));

    /// <summary>Adds a list of texts.</summary>
    /// <exception cref="ArgumentException">The key is already there.</exception>
    public void Add(string key, IReadOnlyList<string> values) =>
        AddList(key, Kind.Text, values, (file, value) => Write(file, value));

    /// <summary>Adds a list of 32-bit integers.</summary>
    /// <exception cref="ArgumentException">The key is already there.</exception>
    public void Add(string key, IReadOnlyList<int> values) =>
        AddList(key, Kind.Int32, values, (file, value) => file.Write(value));

    internal void Write(BinaryWriter file) => entries.ForEach(entry => entry.Write(file));

    internal static void Write(BinaryWriter file, string text)
    {
        var bytes = Utf8.GetBytes(text);
        file.Write((ulong)bytes.Length);
        file.Write(bytes);
    }

    private void AddList<T>(string key, Kind kind, IReadOnlyList<T> values, Action<BinaryWriter, T> write) =>
        Add(
            key,
            Kind.List,
            file =>
            {
                file.Write((uint)kind);
                file.Write((ulong)values.Count);
                foreach (var value in values)
                {
                    write(file, value);
                }
            }
        );

    private void Add(string key, Kind kind, Action<BinaryWriter> write)
    {
        if (entries.Exists(entry => entry.Key == key))
        {
            throw new ArgumentException($"The metadata already has '{key}'.", nameof(key));
        }

        void WriteEntry(BinaryWriter file)
        {
            Write(file, key);
            file.Write((uint)kind);
            write(file);
        }

        entries.Add((key, WriteEntry));
    }

    private enum Kind : uint
    {
        Uint32 = 4,
        Int32 = 5,
        Float32 = 6,
        Flag = 7,
        Text = 8,
        List = 9,
    }
}
