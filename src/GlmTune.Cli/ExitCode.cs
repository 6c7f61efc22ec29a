using GlmTune.Collectives;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;
using GlmTune.Training;

namespace GlmTune.Cli;

/// <summary>Exit codes of the process, and how errors are reported.</summary>
internal static class ExitCode
{
    /// <summary>Success.</summary>
    public const int Done = 0;

    /// <summary>Internal error.</summary>
    public const int Ours = 1;

    /// <summary>Invalid input that the user can correct: arguments, files, data.</summary>
    public const int Users = 2;

    /// <summary>Finished, but rows of a batch could not be answered; the output says why.</summary>
    public const int SomeRowsFailed = 3;

    /// <summary>Stopped by Ctrl-C or SIGTERM; the number that shells use.</summary>
    public const int Stopped = 130;

    /// <summary>Reports an error: only the message if the user can act on it, otherwise with the stack trace.</summary>
    public static int Report(Exception exception, TextWriter error)
    {
        switch (exception)
        {
            case AggregateException { InnerException: { } only } all when all.InnerExceptions.Count == 1:
                return Report(only, error);
            case OperationCanceledException:
                error.WriteLine("Stopped.");
                return Stopped;
            // If the message starts with the file name, it is our own and more specific.
            case FileNotFoundException { FileName: { } file }
                when !exception.Message.StartsWith(file, StringComparison.Ordinal):
                if (!Path.IsPathRooted(file))
                {
                    goto default; // One of our assemblies.
                }

                var near = Path.GetRelativePath(".", file);
                error.WriteLine($"{(near.StartsWith("..", StringComparison.Ordinal) ? file : near)}: file not found.");
                return Users;
            case var _ when AllocationFailure.Find(exception) is { } failure:
                error.WriteLine(
                    exception is MemoryExhaustedException
                        ? exception.Message
                        : $"{failure} Use less at a time: shorter rows or prompts, per_device_eval_batch_size: 1 "
                            + "(eval, generate), half the --slots or --max-model-len (serve); or --quantization nf4, "
                            + "several GPUs (--device cuda:0,cuda:1), or a GPU with more memory."
                );
                return Users;
            case InvalidDataException
            or IOException
            or UnauthorizedAccessException
            or RejectedStepException
            or NoTokenException
            or PromptTooLongException
            or LostRankException
            or SharedFailureException
            or DllNotFoundException:
                error.WriteLine(exception.Message);
                if (DiskAdvice.For(exception) is { } advice)
                {
                    error.WriteLine(advice);
                }

                return Users;
            default:
                error.WriteLine("Internal error. Please report it with the command line and the trace below.");
                error.WriteLine(exception);
                return Ours;
        }
    }
}
