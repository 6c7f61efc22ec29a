using GlmTune.Cli;

namespace GlmTune;

/// <summary>The commands in the documentation: all are understood, and those that can run here do.</summary>
public sealed class DocumentationTests(DocumentationTests.Folder folder) : IClassFixture<DocumentationTests.Folder>
{
    // Why a command is not run; the first reason that fits counts.
    private static readonly (string Reason, Func<DocumentedCommand, bool> Applies)[] NotRun =
    [
        ("a summary of the arguments", command => command.Words.Any(IsPlaceholder)),
        ("it needs a launcher or several ranks", command => !command.IsPlain || Has(command, "--nproc-per-node")),
        ("it needs a 9B model", command => command.Words.Any(IsLarge)),
        ("it measures the 9B shape on a GPU", command => command.Arguments is ["bench", ..]),
        (
            "it runs until it is stopped",
            command => command.Arguments is ["serve" or "board" or "studio" or "stress", ..]
        ),
        ("it downloads", command => command.Arguments is ["setup" or "model", "libtorch" or "pull", ..]),
    ];

    public static TheoryData<string> Pages { get; } =
    [
        .. Directory
            .EnumerateFiles(Path.Combine(Root, "docs"), "*.md")
            .Select(file => $"docs/{Path.GetFileName(file)}")
            .Append("README.md")
            .Where(page => Commands(page).Any())
            .Order(StringComparer.Ordinal),
    ];

    // What makes a run short.
    private static readonly string[] Settings =
    [
        "training_args.max_steps=1",
        "training_args.eval_strategy=no",
        "data_config.test_file=null",
    ];

    private static string Root => Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));

    [Theory]
    [MemberData(nameof(Pages))]
    public void Commands_are_understood(string page)
    {
        var root = CommandLine.Root(new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null));
        Assert.All(
            Commands(page).Where(command => !command.Words.Any(word => word.StartsWith('['))),
            command =>
            {
                var errors = root.Parse(command.Arguments).Errors.Select(error => error.Message).ToArray();
                Assert.True(errors.Length == 0, $"{command.Text}: {string.Join("; ", errors)}");
            }
        );
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public async Task Commands_that_need_no_gpu_and_no_network_run(string page)
    {
        var commands = Commands(page).Where(command => !NotRun.Any(reason => reason.Applies(command))).ToArray();
        if (commands.Length == 0)
        {
            return;
        }

        var copy = folder.CopyFor(page);
        foreach (var command in commands)
        {
            var run = await ProgramRun.In(copy, Quickly(command.Arguments));
            Assert.True(run.Code == 0, $"{page}: {command.Text} gave {run.Code}:\n{run.Error}\n{run.Output}");
        }
    }

    [Fact]
    public void Most_kinds_of_commands_are_run() =>
        Assert.Superset(
            new HashSet<string>
            {
                "train",
                "chat",
                "generate",
                "eval",
                "metrics",
                "merge",
                "export",
                "data",
                "tokenize",
                "plan",
                "recipe",
                "checkpoint",
                "doctor",
                "sample",
                "model",
            },
            Pages
                .SelectMany(page => Commands(page))
                .Where(command => !NotRun.Any(reason => reason.Applies(command)))
                .Select(command => command.Arguments[0])
                .ToHashSet()
        );

    private static IEnumerable<DocumentedCommand> Commands(string page) =>
        DocumentedCommand.Of(page, File.ReadAllText(Path.Combine(Root, page)));

    private static bool IsPlaceholder(string word) =>
        word.StartsWith('[') || word is "PATH" or "MODEL" or "CONFIG" or "DATA_DIR" or "JOB" or "BASE" or "…";

    private static bool IsLarge(string word) =>
        word.Contains('/', StringComparison.Ordinal) && word.Contains("glm-4-9b", StringComparison.Ordinal)
        || word is "glm-4-9b" or "glm-4-9b-chat";

    private static bool Has(DocumentedCommand command, string option) => command.Words.Contains(option);

    // The command as it is documented, with less work.
    private static string[] Quickly(string[] arguments) =>
        arguments switch
        {
            ["train", ..] =>
            [
                .. arguments,
                .. Settings.SelectMany(setting => new[] { "--set", setting }),
                "--set",
                "training_args.output_dir=trained",
                "--set",
                "training_args.overwrite_output_dir=true",
            ],
            ["eval", ..] => [.. arguments, "--limit", "2"],
            _ => arguments,
        };

    /// <summary>A folder in which the documented commands find what they name.</summary>
    public sealed class Folder : IAsyncLifetime
    {
        private readonly TemporaryFolder folder = new();

        public async ValueTask InitializeAsync()
        {
            await ProgramRun.Done("sample", folder.At("base"));
            var run = await ProgramRun.In(
                folder.At("base"),
                [
                    "train",
                    "data/ads",
                    "models/glm-nano",
                    "configs/lora-nano.yaml",
                    .. Settings.SelectMany(setting => new[] { "--set", setting }),
                ]
            );
            Assert.True(run.Code == 0, run.Error);
            Directory.Move(folder.At("base/output/checkpoint-1"), folder.At("base/output/checkpoint-500"));
            Write(
                "questions.jsonl",
                """
                {"messages": [{"role": "user", "content": "类型#裙"}, {"role": "assistant", "content": "裙子。"}]}
                """
            );
            Write("advertise.json", """{"content": "类型#裙", "summary": "裙子。"}""");
            Write(
                "tools.json",
                """
                [{"Name": "shop", "Description": "d", "Function_Description": {"f": "Parameters: {\"x\": \"number\"}"},
                  "Instances": [{"input": "q", "output": "o", "intermediate_steps": [[["f", "{\"x\": 1}", "t"], "200"]]}]}]
                """
            );
        }

        /// <summary>Makes a copy for the commands of a page, which write what they like.</summary>
        public string CopyFor(string page)
        {
            var copy = folder.At(Path.GetFileNameWithoutExtension(page));
            Copy(folder.At("base"), copy);
            Copy(Path.Combine(copy, "output", "checkpoint-500"), Path.Combine(copy, "output", "checkpoint-100"));
            return copy;
        }

        public ValueTask DisposeAsync()
        {
            folder.Dispose();
            return ValueTask.CompletedTask;
        }

        private void Write(string name, string text) => File.WriteAllText(folder.At($"base/{name}"), text);

        private static void Copy(string from, string to)
        {
            foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
            {
                var target = Path.Combine(to, Path.GetRelativePath(from, file));
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                File.Copy(file, target);
            }
        }
    }
}
