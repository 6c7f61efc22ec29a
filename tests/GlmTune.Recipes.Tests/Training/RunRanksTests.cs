using GlmTune.Collectives;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Tests;

public class RunRanksTests
{
    [Fact]
    public void What_rank_0_finds_holds_on_every_rank()
    {
        var found = InProcess.Run(
            3,
            each =>
            {
                var ranks = new RunRanks(each);
                return (ranks.FirstFinds(() => ranks.IsFirst), ranks.FirstFinds(() => !ranks.IsFirst));
            }
        );
        Assert.All(found, answers => Assert.Equal((true, false), answers));
    }
}
