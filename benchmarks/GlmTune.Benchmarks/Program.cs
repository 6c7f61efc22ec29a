using GlmTune.Benchmarks.Kernels;

// GlmTune.Benchmarks kernels [--json FILE] [--only checks|training|attention|prefill|decode]...
if (args is not ["kernels", .. var rest])
{
    Console.Error.WriteLine(
        "Usage: GlmTune.Benchmarks kernels [--json FILE] [--only checks|training|attention|prefill|decode]..."
    );
    return 2;
}

string? json = null;
var only = new List<string>();
for (var i = 0; i + 1 < rest.Length; i += 2)
{
    if (rest[i] == "--json")
    {
        json = rest[i + 1];
    }
    else
    {
        only.Add(rest[i + 1]);
    }
}

return KernelBenchmark.Run(json, only);
