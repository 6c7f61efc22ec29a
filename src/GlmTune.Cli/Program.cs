using GlmTune.Cli;

return await CommandLine.RunAsync(args, Screen.OfProcess()).ConfigureAwait(false);
