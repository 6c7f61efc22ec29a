namespace GlmTune.Fuzz.Tests;

/// <summary>Each parser of what others write, fed with the same damaged inputs each time: it accepts them, or refuses
/// them with its documented exception, and allocates in proportion to their size.</summary>
public sealed class ParserTests
{
    private const int Inputs = 600;

    public static TheoryData<string> Names
    {
        get
        {
            using var targets = new FuzzTargets();
            return [.. targets.All.Select(target => target.Name)];
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_damaged_input_is_refused_as_documented(string name)
    {
        using var targets = new FuzzTargets();
        var target = targets.All.Single(target => target.Name == name);
        Assert.NotEmpty(target.Seeds);
        var result = FuzzRun.Run(target, Inputs, seed: 20260101);
        Assert.True(result.Failures.Count == 0, string.Join("\n\n", result.Failures));
        Assert.Equal(Inputs, result.Done);
        Assert.InRange(result.Accepted, 1, Inputs);
    }

    [Fact]
    public void Undocumented_exceptions_and_allocations_are_found()
    {
        var broken = new FuzzTarget(
            "broken",
            input =>
            {
                if (input.Length > 40)
                {
                    GC.KeepAlive(new byte[64 << 20]);
                }

                if (input.Contains((byte)'['))
                {
                    throw new FormatException();
                }
            },
            []
        )
        {
            Seeds = ["{}"u8.ToArray()],
        };
        var result = FuzzRun.Run(broken, Inputs, seed: 1);
        Assert.Contains(result.Failures, failure => failure.What.Contains("FormatException", StringComparison.Ordinal));
        Assert.Contains(result.Failures, failure => failure.What.Contains("allocated", StringComparison.Ordinal));
    }

    [Fact]
    public void The_same_seed_gives_the_same_inputs()
    {
        static List<byte[]> Of(int seed)
        {
            List<byte[]> inputs = [];
            FuzzRun.Run(new FuzzTarget("any", inputs.Add, ["x"]) { Seeds = ["{}"u8.ToArray()] }, 200, seed);
            return inputs;
        }

        Assert.Equal(Of(3), Of(3));
        Assert.NotEqual(Of(3), Of(4));
    }
}
