using GlmTune.Kernels.Native;

NativeRuntime.Load();
return 0;
