using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace GlmTune.Fuzz;

/// <summary>Feeds a target with mutated inputs and records what is not as documented.</summary>
/// <remarks>An input with an outcome not seen before (another message, apart from its numbers and quotes) becomes a
/// seed of further ones, so later inputs get deeper into a parser. The same seed and count give the same
/// inputs.</remarks>
internal static partial class FuzzRun
{
    private const int MaxSeeds = 2000;
    private const int MaxFailures = 20;

    /// <summary>Bytes that parsing may allocate whatever the size of its input.</summary>
    public const long AllocatedAlways = 4 << 20;

    /// <summary>Bytes that parsing may allocate for each byte of its input, beyond
    /// <see cref="AllocatedAlways"/>.</summary>
    public const long AllocatedPerByte = 512;

    /// <summary>Runs a target.</summary>
    /// <param name="target">What is fed.</param>
    /// <param name="count">Number of inputs.</param>
    /// <param name="seed">Decides the inputs.</param>
    /// <param name="longest">Longest time for one input; null: not looked at.</param>
    /// <param name="stop">Ends the run early.</param>
    public static FuzzResult Run(
        FuzzTarget target,
        long count,
        int seed,
        TimeSpan? longest = null,
        CancellationToken stop = default
    )
    {
        var random = new Random(seed);
        var mutator = new Mutator(random, target.Words);
        List<byte[]> seeds = [.. target.Seeds];
        HashSet<string> outcomes = [];
        List<FuzzFailure> failures = [];
        var (done, accepted, most) = (0L, 0L, 0L);
        for (; done < count && failures.Count < MaxFailures && !stop.IsCancellationRequested; done++)
        {
            // The seeds themselves come first.
            var input =
                done < target.Seeds.Count
                    ? target.Seeds[(int)done]
                    : mutator.Next(random.Next(2) == 0 ? target.Seeds : seeds);
            var before = GC.GetAllocatedBytesForCurrentThread();
            var began = Stopwatch.GetTimestamp();
            string outcome;
            try
            {
                target.Parse(input);
                accepted++;
                outcome = "accepted";
            }
            catch (Exception error) when (target.IsDocumented(error))
            {
                outcome = Shape().Replace(error.Message, "");
            }
#pragma warning disable CA1031 // Every other exception is what is looked for.
            catch (Exception error)
#pragma warning restore CA1031
            {
                outcome = $"{error.GetType()} {error.StackTrace}";
                if (outcomes.Add(outcome))
                {
                    failures.Add(new FuzzFailure(input, error.ToString()));
                }

                continue;
            }

            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            most = Math.Max(most, allocated);
            if (allocated > AllocatedAlways + (AllocatedPerByte * input.Length))
            {
                failures.Add(
                    new FuzzFailure(
                        input,
                        string.Create(CultureInfo.InvariantCulture, $"allocated {allocated} bytes for {input.Length}")
                    )
                );
            }

            if (longest is { } limit && Stopwatch.GetElapsedTime(began) > limit)
            {
                failures.Add(new FuzzFailure(input, $"took longer than {limit.TotalSeconds} s"));
            }

            if (outcomes.Add(outcome) && seeds.Count < MaxSeeds)
            {
                seeds.Add(input);
            }
        }

        return new FuzzResult(done, accepted, outcomes.Count, most, failures);
    }

    // What differs between messages of one kind: numbers, and what they quote.
    [GeneratedRegex(@"\d+|'[^']*'|""[^""]*""|/\S+")]
    private static partial Regex Shape();
}

/// <summary>The result of a run.</summary>
/// <param name="Done">Number of inputs.</param>
/// <param name="Accepted">Those that were parsed without an error.</param>
/// <param name="Outcomes">Number of different outcomes.</param>
/// <param name="MostAllocated">The most bytes that one input made it allocate.</param>
/// <param name="Failures">What was not as documented.</param>
internal sealed record FuzzResult(
    long Done,
    long Accepted,
    int Outcomes,
    long MostAllocated,
    IReadOnlyList<FuzzFailure> Failures
);

/// <summary>An input that was not handled as documented.</summary>
/// <param name="Input">The input.</param>
/// <param name="What">What happened.</param>
internal sealed record FuzzFailure(byte[] Input, string What)
{
    /// <inheritdoc/>
    public override string ToString() => $"{What}\ninput (base64): {Convert.ToBase64String(Input)}";
}
