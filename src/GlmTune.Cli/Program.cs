using System.Runtime.InteropServices;
using GlmTune.Cli;

// A launcher may ask twice: srun asks again once another rank has ended. Between the end of the command, which listens by itself,
// and that of the process the second one would take the exit code away, so these stay until there is nothing left.
var stop = new CancellationTokenSource();
PosixSignalRegistration[] listening = [.. ((PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT]).Select(signal => PosixSignalRegistration.Create(signal, context =>
{
    context.Cancel = true;
    stop.Cancel();
}))];
var code = await CommandLine.RunAsync(args, Screen.OfProcess(), stop.Token).ConfigureAwait(false);
GC.KeepAlive(listening);
return code;
