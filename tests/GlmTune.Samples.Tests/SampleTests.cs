using System.Net.Http.Json;
using System.Text.Json;

namespace GlmTune.Samples.Tests;

/// <summary>The samples are built from the packages, and do what their <c>expected.txt</c> says.</summary>
[Collection(nameof(PackedSamples))]
public sealed class SampleTests(PackedSamples samples)
{
    [Theory]
    [InlineData("Callback"), InlineData("Chat"), InlineData("FineTune"), InlineData("OwnData")]
    [InlineData("StructuredOutput")]
    public async Task A_sample_prints_what_is_expected(string sample) =>
        ExpectedText.Check(Expected(sample), await samples.Run(sample));

    [Fact]
    public async Task The_endpoint_answers()
    {
        // Port 0: the system chooses one, and the log names it.
        using var process = samples.Start("Endpoint", "--urls", "http://127.0.0.1:0");
        try
        {
            const string Listening = "Now listening on: ";
            string? line;
            do
            {
                line = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
                Assert.NotNull(line);
            } while (!line.Contains(Listening, StringComparison.Ordinal));

            _ = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            var address = line[(line.IndexOf(Listening, StringComparison.Ordinal) + Listening.Length)..].Trim();
            using var http = new HttpClient { BaseAddress = new Uri(address), Timeout = TimeSpan.FromMinutes(5) };
            using var response = await http.PostAsJsonAsync(
                "/answers",
                new { Text = "类型#裙*颜色#红色" },
                TestContext.Current.CancellationToken
            );
            response.EnsureSuccessStatusCode();
            var answer = await response.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
            ExpectedText.Check(
                Expected("Endpoint"),
                $"{answer.GetProperty("text").GetString()}\n{answer.GetProperty("tokens").GetInt32()} tokens"
            );
        }
        finally
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
        }
    }

    [Fact]
    public void Every_sample_is_run() =>
        Assert.Equal(
            ["Callback", "Chat", "Endpoint", "FineTune", "OwnData", "StructuredOutput"],
            Directory
                .EnumerateDirectories(Path.Combine(samples.Root, "samples"))
                .Select(Path.GetFileName)
                .Order(StringComparer.Ordinal)
        );

    private string Expected(string sample) =>
        File.ReadAllText(Path.Combine(samples.Root, "samples", sample, "expected.txt"));
}

/// <summary>Makes the packages and builds the samples once.</summary>
[CollectionDefinition(nameof(PackedSamples))]
public sealed class PackedSamplesForAll : ICollectionFixture<PackedSamples>;
