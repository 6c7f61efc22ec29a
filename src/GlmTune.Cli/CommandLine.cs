using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using GlmTune.Cli.Commands;
using GlmTune.Cli.Help;
using GlmTune.Cli.Setup;
using GlmTune.Collectives;
using GlmTune.Files;

namespace GlmTune.Cli;

/// <summary>The command <c>glmtune</c>: its subcommands and error handling.</summary>
internal static class CommandLine
{
    // Treat "@name" and "-ab" as plain text, not as response files or bundled options.
    private static readonly ParserConfiguration Parsing = new()
    {
        ResponseFileTokenReplacer = null,
        EnablePosixBundling = false,
    };

    /// <summary>Runs a command line and returns the exit code.</summary>
    /// <param name="arguments">The arguments after the program's name.</param>
    /// <param name="screen">Input and output.</param>
    /// <param name="heeds">Called before a command that supports cancellation starts; other commands run to their
    /// end.</param>
    /// <param name="stop">Cancels the command.</param>
    public static async Task<int> RunAsync(
        IReadOnlyList<string> arguments,
        Screen screen,
        Action? heeds = null,
        CancellationToken stop = default
    )
    {
        // JSON is for programs, and so is what stands beside it.
        screen = (arguments.Contains("--json") ? screen with { Catalogue = null } : screen).Guarded();
        void Note(string text)
        {
            if (Rendezvous.FromEnvironment().LocalRank == 0)
            {
                screen.Error.WriteLine($"note: {text}");
            }
        }

        CacheFolder.Current.Unwritable += Note;
        try
        {
            var root = Root(screen);
            if (Suggestions.AreAsked(arguments, out var position))
            {
                Suggestions.Write(root, arguments[1], position, screen.Output);
                return ExitCode.Done;
            }

            PathArguments.ExpandHome(root);
            var parsed = root.Parse(Usual(arguments), Parsing);
            var command = parsed.CommandResult.Command;
            var isWrong = parsed.Action is ParseErrorAction;
            if (
                WrongCommandLine.HasStrayOption(parsed)
                || isWrong && (command.Subcommands.Count == 0 || parsed.UnmatchedTokens.Count > 0)
                || command.Subcommands.Count > 0 && parsed.UnmatchedTokens.Count > 0
            )
            {
                WrongCommandLine.Tell(parsed, screen.Error);
                return ExitCode.Users;
            }

            if (isWrong)
            {
                screen.Error.WriteLine("Name one of the commands below.");
                new HelpPage(screen).Write(command);
                return ExitCode.Users;
            }

            if (
                OpenSsl.Problem is { } problem
                && command.Subcommands.Count == 0
                && command.Name is not ("doctor" or "version")
            )
            {
                screen.Error.WriteLine(problem);
                return ExitCode.Users;
            }

            if (parsed.Action is AsynchronousCommandLineAction)
            {
                heeds?.Invoke();
            }

            return await parsed
                .InvokeAsync(
                    new InvocationConfiguration
                    {
                        Output = screen.Output,
                        Error = screen.Error,
                        EnableDefaultExceptionHandler = false,
                        ProcessTerminationTimeout = null,
                    },
                    stop
                )
                .ConfigureAwait(false);
        }
#pragma warning disable CA1031 // All errors end here and are reported as user errors or internal errors.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            return ExitCode.Report(exception, screen.Error);
        }
        finally
        {
            CacheFolder.Current.Unwritable -= Note;
        }
    }

    /// <summary>The command tree.</summary>
    public static RootCommand Root(Screen screen)
    {
        var root = new RootCommand("Fine-tunes GLM-4 chat models: training, evaluation, chat.")
        {
            TrainCommand.Create(screen),
            ChatCommand.Create(screen),
            GenerateCommand.Create(screen),
            ServeCommand.Create(screen),
            BoardCommand.Create(screen),
            StudioCommand.Create(screen),
            StressCommand.Create(screen),
            TokenizeCommand.Create(screen),
            DataCommand.Create(screen),
            MetricsCommand.Create(screen),
            EvalCommand.Create(screen),
            FitCommand.Create(screen),
            PlanCommand.Create(screen),
            RecipeCommand.Create(screen),
            ModelCommand.Create(screen),
            ForwardCommand.Create(screen),
            BenchCommand.Create(screen),
            MergeCommand.Create(screen),
            ExportCommand.Create(screen),
            CheckpointCommand.Create(screen),
            SampleCommand.Create(screen),
            DoctorCommand.Create(screen),
            SetupCommand.Create(screen),
            CompletionCommand.Create(screen),
            JobCommand.Create(screen),
        };
        foreach (var option in root.Options)
        {
            if (option is HelpOption help)
            {
                help.Description = "show this help";
                help.Action = new HelpPage(screen);
            }
            else if (option is VersionOption)
            {
                option.Description = "show the version";
            }
        }

        return root;
    }

    // What people type of habit.
    private static IReadOnlyList<string> Usual(IReadOnlyList<string> arguments) =>
        arguments switch
        {
            ["help", ..] => [.. arguments.Skip(1), "--help"],
            ["version" or "-v" or "-V"] => ["--version"],
            _ => arguments,
        };
}
