using System.Globalization;
using GlmTune.Benchmarks.Kernels;
using GlmTune.Benchmarks.Tokenization;

// GlmTune.Benchmarks kernels [--json FILE] [--only checks|training|attention|prefill|decode]...
// GlmTune.Benchmarks encoding MODEL_FOLDER FILE.jsonl [ROUNDS]
switch (args)
{
    case ["kernels", .. var rest]:
        return Kernels(rest);
    case ["encoding", var folder, var file]:
        return EncodingBenchmark.Run(folder, file, rounds: 15);
    case ["encoding", var folder, var file, var rounds]:
        return EncodingBenchmark.Run(folder, file, int.Parse(rounds, CultureInfo.InvariantCulture));
    default:
        Console.Error.WriteLine(
            """
            Usage: GlmTune.Benchmarks kernels [--json FILE] [--only checks|training|attention|prefill|decode]...
                   GlmTune.Benchmarks encoding MODEL_FOLDER FILE.jsonl [ROUNDS]
            """
        );
        return 2;
}

static int Kernels(string[] options)
{
    string? json = null;
    var only = new List<string>();
    for (var i = 0; i + 1 < options.Length; i += 2)
    {
        if (options[i] == "--json")
        {
            json = options[i + 1];
        }
        else
        {
            only.Add(options[i + 1]);
        }
    }

    return KernelBenchmark.Run(json, only);
}
