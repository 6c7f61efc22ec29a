using GlmTune.Cli;

var signals = new StopSignals();
var code = await CommandLine.RunAsync(args, Screen.OfProcess(), signals.Enable, signals.Token).ConfigureAwait(false);
GC.KeepAlive(signals);
return code;
