using System.Collections.Concurrent;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace GlmTune.Cli;

/// <summary><c>--otlp</c>: what a collector receives.</summary>
public sealed partial class OtlpOptionTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_collector_receives_the_metrics_of_a_server()
    {
        await using var collector = await Collector.StartAsync();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var error = new StringWriter();
        var serving = CommandLine.RunAsync(
            [
                "serve",
                Run.InRepository("models/glm-nano"),
                "--port",
                "0",
                "--device",
                "cpu",
                "--otlp",
                $"{collector.Address}v1/metrics",
            ],
            new Screen(TextReader.Null, TextWriter.Null, TextWriter.Synchronized(error)),
            stop: stop.Token
        );
        while (!Address().IsMatch(error.ToString()))
        {
            Assert.False(serving.IsCompleted, error.ToString());
            await Task.Delay(20, stop.Token);
        }

        using var http = new HttpClient { BaseAddress = new Uri(Address().Match(error.ToString()).Groups[1].Value) };
        using var answer = await http.PostAsync(
            "/v1/chat/completions",
            new StringContent(
                """{"max_tokens":3,"messages":[{"role":"user","content":"Hi"}]}""",
                Encoding.UTF8,
                "application/json"
            ),
            stop.Token
        );
        answer.EnsureSuccessStatusCode();
        await stop.CancelAsync();
        Assert.Equal(ExitCode.Done, await serving);

        Assert.Contains($"Sending metrics to {collector.Address}v1/metrics by OTLP", error.ToString());
        Assert.All(
            (string[])
                [
                    "service.name",
                    "GlmTune.Server",
                    "gen_ai.server.request.duration",
                    "gen_ai.server.time_to_first_token",
                    "gen_ai.server.time_per_output_token",
                    "glmtune.cache.blocks",
                    "glmtune.prefix_cache.hits",
                    "glmtune.preemptions",
                    "glmtune.requests.waiting",
                    "dotnet.process.memory.working_set",
                ],
            name => Assert.Contains(name, collector.Received, StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task A_collector_receives_the_metrics_of_a_training()
    {
        await using var collector = await Collector.StartAsync();
        var output = Directory.CreateTempSubdirectory();
        var run = await Run.Of(
            "train",
            Run.InRepository("data/ads"),
            Run.InRepository("models/glm-nano"),
            Run.InRepository("configs/lora-nano.yaml"),
            "--set",
            "training_args.max_steps=1",
            "--set",
            "training_args.eval_strategy=no",
            "--set",
            "training_args.load_best_model_at_end=false",
            "--set",
            "training_args.do_eval=false",
            "--set",
            $"training_args.output_dir={output.FullName}",
            "--otlp",
            $"{collector.Address}v1/metrics"
        );
        Assert.True(run.Code == ExitCode.Done, run.Error);
        Assert.All(
            (string[])
                [
                    "GlmTune.Training",
                    "glmtune.training.steps",
                    "glmtune.training.loss",
                    "glmtune.training.learning_rate",
                    "glmtune.training.step.duration",
                ],
            name => Assert.Contains(name, collector.Received, StringComparison.Ordinal)
        );
        output.Delete(recursive: true);
    }

    [Theory]
    [InlineData("here")]
    [InlineData("ftp://here")]
    [InlineData("localhost:4317")]
    public async Task What_is_no_endpoint_is_refused(string endpoint)
    {
        var run = await Run.Of("serve", "model", "--otlp", endpoint);
        Assert.Equal(ExitCode.Users, run.Code);
        Assert.Contains(
            $"--otlp: '{endpoint}' is not an endpoint; expected an address such as http://localhost:4317.",
            run.Error,
            StringComparison.Ordinal
        );
    }

    [GeneratedRegex(@"Listening on (http://\S+);")]
    private static partial Regex Address();

    // Takes whatever is posted.
    private sealed class Collector(WebApplication app) : IAsyncDisposable
    {
        private readonly ConcurrentQueue<string> bodies = new();

        public Uri Address => new(app.Urls.Single());

        public string Received => string.Concat(bodies);

        public static async Task<Collector> StartAsync()
        {
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
            builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
            var app = builder.Build();
            var collector = new Collector(app);
            app.Run(collector.TakeAsync);
            await app.StartAsync(Stop);
            return collector;
        }

        public ValueTask DisposeAsync() => app.DisposeAsync();

        private async Task TakeAsync(HttpContext context)
        {
            using var reader = new StreamReader(context.Request.Body, Encoding.Latin1);
            bodies.Enqueue($"{context.Request.Path} {await reader.ReadToEndAsync(context.RequestAborted)}");
            context.Response.ContentType = "application/x-protobuf";
        }
    }
}
