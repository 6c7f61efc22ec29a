using System.Globalization;
using GlmTune.Fuzz;

// usage: fuzz [COUNT [SEED [TARGET…]]]: the long form of the tests in GlmTune.Fuzz.Tests.
var count = args.Length > 0 ? long.Parse(args[0], CultureInfo.InvariantCulture) : 1_000_000;
var seed = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1;
using var targets = new FuzzTargets();
using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, key) =>
{
    key.Cancel = true;
    stop.Cancel();
};
var failed = false;
foreach (var target in targets.All.Where(target => args.Length < 3 || args.Skip(2).Contains(target.Name)))
{
    var result = FuzzRun.Run(target, count, seed, TimeSpan.FromSeconds(10), stop.Token);
    Console.WriteLine(
        string.Create(
            CultureInfo.InvariantCulture,
            $"{target.Name}: {result.Done} inputs, {result.Accepted} accepted, {result.Outcomes} outcomes, at "
                + $"most {result.MostAllocated >> 10} KiB, {result.Failures.Count} failures"
        )
    );
    foreach (var failure in result.Failures)
    {
        failed = true;
        Console.WriteLine(failure);
    }
}

return failed ? 1 : 0;
