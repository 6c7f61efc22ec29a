// Writes archives whose bytes depend on their files alone: entries in order, one time stamp, no names of users.
// usage: dotnet run eng/archive.cs -- make FOLDER TARGET.tar.gz|TARGET.zip   (holds one folder, named like FOLDER)
//        dotnet run eng/archive.cs -- same FILE.nupkg...                     (rewrites packages in this way)
// The time stamp is SOURCE_DATE_EPOCH in seconds, by default that of the last commit.
#:property EnforceCodeStyleInBuild=false
using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;

const UnixFileMode Plain =
    UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
const UnixFileMode Program = Plain | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
var time = DateTimeOffset.FromUnixTimeSeconds(
    long.Parse(
        Environment.GetEnvironmentVariable("SOURCE_DATE_EPOCH") is { Length: > 0 } given ? given : OfLastCommit(),
        CultureInfo.InvariantCulture
    )
);

switch (args)
{
    case ["make", var folder, var target] when target.EndsWith(".tar.gz", StringComparison.Ordinal):
        WriteTar(folder, target);
        return 0;
    case ["make", var folder, var target] when target.EndsWith(".zip", StringComparison.Ordinal):
        WriteZip(FilesOf(folder).Select(file => (file.Name, File.ReadAllBytes(file.Path))), target);
        return 0;
    case ["same", .. var packages] when packages.Length > 0:
        foreach (var package in packages)
        {
            WriteZip(EntriesOf(package), package);
        }

        return 0;
    default:
        Console.Error.WriteLine("usage: make FOLDER TARGET.tar.gz|TARGET.zip, or same FILE.nupkg...");
        return 2;
}

void WriteTar(string folder, string target)
{
    using var file = File.Create(target);
    using var zip = new GZipStream(file, CompressionLevel.Optimal);
    using var tar = new TarWriter(zip, TarEntryFormat.Pax);
    foreach (var (name, path) in FilesOf(folder))
    {
        using var content = File.OpenRead(path);
        tar.WriteEntry(
            new PaxTarEntry(TarEntryType.RegularFile, name)
            {
                ModificationTime = time,
                Mode = IsProgram(path) ? Program : Plain,
                DataStream = content,
            }
        );
    }
}

void WriteZip(IEnumerable<(string Name, byte[] Content)> entries, string target)
{
    var beside = target + ".tmp";
    using (var zip = ZipFile.Open(beside, ZipArchiveMode.Create))
    {
        foreach (var (name, content) in entries)
        {
            var entry = zip.CreateEntry(name, CompressionLevel.Optimal);
            entry.LastWriteTime = time.UtcDateTime;
            entry.ExternalAttributes = (int)Plain << 16;
            using var stream = entry.Open();
            stream.Write(content);
        }
    }

    File.Move(beside, target, overwrite: true);
}

// The first two have to come first; NuGet reads the others in any order.
static List<(string Name, byte[] Content)> EntriesOf(string package)
{
    using var zip = ZipFile.OpenRead(package);
    return
    [
        .. zip
            .Entries.OrderBy(entry => entry.FullName is not ("[Content_Types].xml" or "_rels/.rels"))
            .ThenBy(entry => entry.FullName, StringComparer.Ordinal)
            .Select(entry => (entry.FullName, Read(entry))),
    ];
}

static byte[] Read(ZipArchiveEntry entry)
{
    using var stream = entry.Open();
    using var content = new MemoryStream();
    stream.CopyTo(content);
    return content.ToArray();
}

static IEnumerable<(string Name, string Path)> FilesOf(string folder)
{
    var parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)))!;
    return Directory
        .EnumerateFiles(folder, "*", SearchOption.AllDirectories)
        .Select(file => (Path.GetRelativePath(parent, file).Replace('\\', '/'), file))
        .OrderBy(file => file.Item1, StringComparer.Ordinal);
}

static bool IsProgram(string path) => Path.GetFileName(path) is "glmtune" or "createdump";

static string OfLastCommit()
{
    using var git = Process.Start(
        new ProcessStartInfo("git", "log -1 --format=%ct") { RedirectStandardOutput = true }
    )!;
    return git.StandardOutput.ReadToEnd().Trim();
}
