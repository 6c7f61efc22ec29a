using System.Text.Json;
using GlmTune.Data.Templates.Jinja;

namespace GlmTune.Data.Tests.Templates.Jinja;

/// <summary>Against jinja2 3.1 with the settings that the transformers library renders chat templates with.</summary>
public class GoldenJinjaTests
{
    private static readonly JsonElement Golden = JsonDocument
        .Parse(File.ReadAllBytes(GoldenData.Path("jinja.json")))
        .RootElement;

    public static TheoryData<int> Cases => [.. Enumerable.Range(0, Golden.GetProperty("cases").GetArrayLength())];

    [Theory, MemberData(nameof(Cases))]
    public void A_template_gives_the_reference_text_or_fails_where_the_reference_fails(int number)
    {
        var golden = Golden.GetProperty("cases")[number];
        var template = golden.GetProperty("template").GetString()!;
        string Rendered() => JinjaProgram.Parse(template).Render(Golden.GetProperty("variables")).Text;
        if (golden.TryGetProperty("error", out _))
        {
            Assert.StartsWith(
                "chat template",
                Assert.Throws<JinjaException>(Rendered).Message,
                StringComparison.Ordinal
            );
            return;
        }

        Assert.Equal((template, golden.GetProperty("text").GetString()), (template, Rendered()));
    }
}
