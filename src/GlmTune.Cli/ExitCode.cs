using GlmTune.Collectives;
using GlmTune.Training;

namespace GlmTune.Cli;

/// <summary>What the process returns, and what it says of an error.</summary>
internal static class ExitCode
{
    /// <summary>The command did what was asked.</summary>
    public const int Done = 0;

    /// <summary>A defect of this program.</summary>
    public const int Ours = 1;

    /// <summary>Something that the user can put right: arguments, files, data.</summary>
    public const int Users = 2;

    /// <summary>Stopped by Ctrl-C, as shells number it.</summary>
    public const int Stopped = 130;

    /// <summary>Says what went wrong: the message alone where the user can act on it, with the stack where we
    /// must.</summary>
    public static int Report(Exception exception, TextWriter error)
    {
        switch (exception)
        {
            case AggregateException { InnerException: { } only } all when all.InnerExceptions.Count == 1:
                return Report(only, error);
            case OperationCanceledException:
                error.WriteLine("Stopped.");
                return Stopped;
            // Where the message begins with the name, it is one of ours and says more.
            case FileNotFoundException { FileName: { } file }
                when !exception.Message.StartsWith(file, StringComparison.Ordinal):
                if (!Path.IsPathRooted(file))
                {
                    goto default; // A library of ours.
                }

                error.WriteLine(
                    $"{(Path.GetRelativePath(".", file) is var near && near.StartsWith("..", StringComparison.Ordinal) ? file : near)}: there is no such file."
                );
                return Users;
            case InvalidDataException
            or IOException
            or UnauthorizedAccessException
            or NonFiniteStepException
            or LostRankException
            or SharedFailureException
            or DllNotFoundException:
                error.WriteLine(exception.Message);
                return Users;
            default:
                error.WriteLine("This is a defect of glmtune. Please report it with the command and what follows.");
                error.WriteLine(exception);
                return Ours;
        }
    }
}
