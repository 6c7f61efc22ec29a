using GlmTune.Cli;
using GlmTune.Studio.Jobs;

var signals = new StopSignals();
try
{
    // A job can be asked to stop as soon as it has recorded itself.
    JobProcess.BeginIfAsked(args, signals.Enable);
}
catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
{
    return ExitCode.Report(error, Console.Error);
}

var code = await CommandLine.RunAsync(args, Screen.OfProcess(), signals.Enable, signals.Token).ConfigureAwait(false);
GC.KeepAlive(signals);
return code;
