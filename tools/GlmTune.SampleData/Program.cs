using System.CommandLine;
using GlmTune.SampleData;

var folder = new Argument<DirectoryInfo>("FOLDER")
{
    Description = "The repository's root, into which data/ and models/glm-nano/ are written.",
    DefaultValueFactory = _ => new DirectoryInfo("."),
};
var check = new Option<bool>("--check")
{
    Description = "Write nothing; exit 2 when a file differs from what would be written.",
};
var command = new RootCommand("Writes the sample data and the nano model's tokenizer and configuration.")
{
    folder,
    check,
};
command.SetAction(parsed =>
{
    var differing = 0;
    foreach (var (path, content) in SampleFiles.Write())
    {
        var file = new FileInfo(Path.Combine(parsed.GetRequiredValue(folder).FullName, path));
        var same = file.Exists && File.ReadAllBytes(file.FullName).AsSpan().SequenceEqual(content);
        differing += same ? 0 : 1;
        if (!same && !parsed.GetValue(check))
        {
            file.Directory!.Create();
            var aside = file.FullName + ".new";
            File.WriteAllBytes(aside, content);
            File.Move(aside, file.FullName, overwrite: true);
        }

        Console.WriteLine(
            $"{(same ? "unchanged" : parsed.GetValue(check) ? "differs  " : "written  ")}  {content.Length,9:N0} "
                + $"bytes  {path}"
        );
    }

    return parsed.GetValue(check) && differing > 0 ? 2 : 0;
});
return command.Parse(args).Invoke();
