using GlmTune.Files;

namespace GlmTune.Testing.Disks;

/// <summary>What a power failure would leave of a folder: content that was flushed, under names that were flushed. Of
/// the rest, each change may have reached the disk or not, in any order; a file may hold zeros where its bytes did
/// not.</summary>
/// <remarks>POSIX promises no more. Journaling file systems keep more order than that.</remarks>
internal sealed class DurableTree
{
    private readonly string root;
    private readonly Folder top;
    private readonly List<Change> pending = [];

    public DurableTree(string root)
    {
        this.root = root;
        top = ReadFolder(root);
    }

    /// <summary>Records an operation that succeeded.</summary>
    public void Did(DiskCall call)
    {
        switch (call.Operation)
        {
            case DiskOperation.CreateFolder:
                Add(call.Path, new Folder());
                break;
            case DiskOperation.Create or DiskOperation.Lock:
                if (Find(call.Path) is FileNode opened)
                {
                    opened.IsDirty = true;
                }
                else if (Find(call.Path) is null && File.Exists(call.Path))
                {
                    Add(call.Path, new FileNode { IsDirty = true });
                }

                break;
            case DiskOperation.Write or DiskOperation.SetLength when Find(call.Path) is FileNode written:
                written.IsDirty = true;
                break;
            case DiskOperation.Flush when Find(call.Path) is FileNode file:
                file.Durable = Read(call.Path);
                file.IsDirty = false;
                break;
            case DiskOperation.FlushFolder when Find(call.Path) is Folder folder:
                foreach (var change in pending.Where(change => change.Touches(folder)).ToList())
                {
                    change.Apply();
                    pending.Remove(change);
                }

                break;
            case DiskOperation.Rename:
                var moved = Find(call.Path)!;
                Do(
                    new Change(
                        ParentOf(call.Path),
                        NameOf(call.Path),
                        null,
                        ParentOf(call.Target!),
                        NameOf(call.Target!),
                        moved
                    )
                );
                break;
            case DiskOperation.Exchange when call.Target is not null:
                var (first, second) = (Find(call.Path)!, Find(call.Target)!);
                Do(
                    new Change(
                        ParentOf(call.Path),
                        NameOf(call.Path),
                        second,
                        ParentOf(call.Target),
                        NameOf(call.Target),
                        first
                    )
                );
                break;
            case DiskOperation.Delete or DiskOperation.DeleteFolder when Find(call.Path) is not null:
                Do(new Change(ParentOf(call.Path), NameOf(call.Path), null));
                break;
        }
    }

    /// <summary>Replaces the folder's content by what a power failure leaves.</summary>
    public void Restore(Random random)
    {
        KeepContent(root, top);
        var share = random.Next(3) switch
        {
            0 => 0.0,
            1 => 1.0,
            _ => 0.5,
        };
        foreach (var change in pending.Where(_ => random.NextDouble() < share))
        {
            change.Apply();
        }

        foreach (var entry in Directory.GetFileSystemEntries(root))
        {
            if (Directory.Exists(entry))
            {
                Directory.Delete(entry, recursive: true);
            }
            else
            {
                File.Delete(entry);
            }
        }

        Write(root, top, random);
    }

    private static Folder ReadFolder(string path)
    {
        var folder = new Folder();
        foreach (var entry in Directory.GetFileSystemEntries(path))
        {
            Node node = Directory.Exists(entry) ? ReadFolder(entry) : new FileNode { Durable = Read(entry) };
            folder.Live[NameOf(entry)] = node;
            folder.Durable[NameOf(entry)] = node;
        }

        return folder;
    }

    // Without the lock of .NET, which conflicts with that of a file in use.
    private static byte[] Read(string path)
    {
        using var handle = OsLock.OpenToRead(path);
        var bytes = new byte[RandomAccess.GetLength(handle)];
        return bytes.AsSpan(0, RandomAccess.Read(handle, bytes, 0)).ToArray();
    }

    private static void KeepContent(string path, Folder folder)
    {
        foreach (var (name, node) in folder.Live)
        {
            var at = Path.Combine(path, name);
            if (node is Folder inner)
            {
                KeepContent(at, inner);
            }
            else if (node is FileNode { IsDirty: true } file && File.Exists(at))
            {
                file.Written = Read(at);
            }
        }
    }

    private static void Write(string path, Folder folder, Random random)
    {
        foreach (var (name, node) in folder.Durable.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            var at = Path.Combine(path, name);
            if (node is Folder inner)
            {
                Directory.CreateDirectory(at);
                Write(at, inner, random);
            }
            else
            {
                File.WriteAllBytes(at, ((FileNode)node).AfterPowerCut(random));
            }
        }
    }

    private void Add(string path, Node node) => Do(new Change(ParentOf(path), NameOf(path), node));

    private void Do(Change change)
    {
        change.ApplyLive();
        pending.Add(change);
    }

    private Folder ParentOf(string path) => (Folder)Find(Path.GetDirectoryName(path)!)!;

    private static string NameOf(string path) => Path.GetFileName(path);

    private Node? Find(string path)
    {
        Node? node = top;
        var relative = Path.GetRelativePath(root, path);
        foreach (var name in relative == "." ? [] : relative.Split('/'))
        {
            node = (node as Folder)?.Live.GetValueOrDefault(name);
        }

        return node;
    }

    private abstract class Node;

    private sealed class FileNode : Node
    {
        public byte[] Durable { get; set; } = [];

        public byte[]? Written { get; set; }

        public bool IsDirty { get; set; }

        // The old bytes, the new ones, or the new length with some pieces that never arrived.
        public byte[] AfterPowerCut(Random random)
        {
            if (!IsDirty || Written is null)
            {
                return Durable;
            }

            switch (random.Next(3))
            {
                case 0:
                    return Durable;
                case 1:
                    return Written;
            }

            const int piece = 512;
            var torn = new byte[Written.Length];
            for (var at = 0; at < torn.Length; at += piece)
            {
                if (random.Next(2) == 0)
                {
                    Written.AsSpan(at, Math.Min(piece, torn.Length - at)).CopyTo(torn.AsSpan(at));
                }
            }

            return torn;
        }
    }

    private sealed class Folder : Node
    {
        public Dictionary<string, Node> Live { get; } = new(StringComparer.Ordinal);

        public Dictionary<string, Node> Durable { get; } = new(StringComparer.Ordinal);
    }

    // Gives one or two names new meanings, together; null: the name is gone.
    private sealed record Change(
        Folder First,
        string FirstName,
        Node? FirstNode,
        Folder? Second = null,
        string SecondName = "",
        Node? SecondNode = null
    )
    {
        public bool Touches(Folder folder) => ReferenceEquals(First, folder) || ReferenceEquals(Second, folder);

        public void ApplyLive()
        {
            Set(First.Live, FirstName, FirstNode);
            if (Second is not null)
            {
                Set(Second.Live, SecondName, SecondNode);
            }
        }

        public void Apply()
        {
            Set(First.Durable, FirstName, FirstNode);
            if (Second is not null)
            {
                Set(Second.Durable, SecondName, SecondNode);
            }
        }

        private static void Set(Dictionary<string, Node> names, string name, Node? node)
        {
            if (node is null)
            {
                names.Remove(name);
            }
            else
            {
                names[name] = node;
            }
        }
    }
}
