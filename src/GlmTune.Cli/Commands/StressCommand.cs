using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using GlmTune.Benchmarking.Stress;
using GlmTune.Inference;
using GlmTune.Kernels.Memory;
using GlmTune.Server;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune stress</c>: load-tests a model or a server.</summary>
internal static class StressCommand
{
    public static Command Create(Screen screen)
    {
        var (chat, json) = (new ChatOptions(), Arguments.Json());
        chat.Path.Arity = ArgumentArity.ZeroOrOne;
        var url = new Option<Uri?>("--url")
        {
            HelpName = "URL",
            Description = "load-test an OpenAI-compatible server instead, such as http://127.0.0.1:8000",
            CustomParser = ReadUrl,
        };
        var model = new Option<string?>("--model")
        {
            HelpName = "NAME",
            Description = "with --url: model name in requests; default: the server's first model",
        };
        var key = new Option<string?>("--api-key-file")
        {
            HelpName = "FILE",
            Description = "with --url: file of API keys as in serve; the first key is sent",
        };
        var lengths = NumberOption.Several("--token-len", "prompt tokens; several values give one row each", [1000], 1);
        var concurrency = NumberOption.Several(
            "--concurrency",
            "concurrent requests; several values give one row each",
            [1],
            1
        );
        var rounds = NumberOption.Of("--n", "consecutive requests per concurrent client", 3, 1);
        var tokens = NumberOption.Of("--max-new-tokens", "max tokens per answer", 512, 1);
        var mixed = new Option<bool>("--mix")
        {
            Description = "draw each request's prompt length from the values of --token-len; one row for all",
        };
        var shared = NumberOption.Of("--shared-tokens", "tokens at the beginning that all prompts share", 0, 0);
        var rate = NumberOption.Optional<double>(
            "--rate",
            "requests per second at random times (Poisson), answered or not: concurrency × n of them",
            0.0,
            above: true
        );
        var adapters = new AdapterOptions();
        var names = new Option<string?>("--adapters")
        {
            HelpName = "NAME,…",
            Description = "with --url: models of the server that requests ask in turn, such as adapters",
        };
        var command = new Command("stress", "Load-test a model or a server: time to first token and tokens per second.")
        {
            url,
            model,
            key,
            lengths,
            concurrency,
            rounds,
            tokens,
            mixed,
            shared,
            rate,
            names,
            json,
        };
        adapters.AddNamedTo(command);
        chat.AddTo(command);
        command.Validators.Add(given =>
        {
            if (given.GetResult(chat.Path) is { Tokens.Count: > 0 } == given.GetResult(url) is not null)
            {
                given.AddError("Give either PATH, a model to load, or --url, a server to load-test.");
            }

            var served = given.GetResult(url) is not null;
            if (served && given.GetValue(adapters.Named) is { Length: > 0 })
            {
                given.AddError("--adapter requires PATH; a server's adapters are named with --adapters.");
            }

            if (!served && given.GetValue(names) is not null)
            {
                given.AddError("--adapters requires --url; adapters of PATH are loaded with --adapter NAME=PATH.");
            }
        });
        command.SetAction(
            async (given, stop) =>
            {
                var loadedAdapters = given.GetRequiredValue(adapters.Named);
                var options = new StressOptions
                {
                    Adapters =
                        given
                            .GetValue(names)
                            ?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                        ?? [.. loadedAdapters.Select(adapter => adapter.Key)],
                    PromptTokens = given.GetRequiredValue(lengths),
                    Concurrency = given.GetRequiredValue(concurrency),
                    Rounds = given.GetValue(rounds),
                    MaxNewTokens = given.GetValue(tokens),
                    Mixed = given.GetValue(mixed),
                    SharedTokens = given.GetValue(shared),
                    Rate = given.GetValue(rate),
                };
                try
                {
                    options.Check();
                }
                catch (ArgumentException e)
                {
                    throw new InvalidDataException(e.Message, e);
                }

                if (given.GetValue(url) is { } address)
                {
                    var secret = given.GetValue(key) is { } file ? ApiKeyFile.Read(file)[0] : null;
                    var name =
                        given.GetValue(model)
                        ?? await StressServer.FirstModelAsync(address, secret, stop).ConfigureAwait(false);
                    using var server = new StressServer(address, name, secret);
                    await RunAsync(screen, server, options, given.GetValue(json), memory: null, stop)
                        .ConfigureAwait(false);
                    return;
                }

                // One slot per concurrent client. Nothing is kept in the cache, because no two prompts share a prefix.
                using var loaded = chat.Load(
                    given,
                    screen,
                    loadedAdapters,
                    new GenerationLimits { Slots = options.Concurrency.Max(), KeepsAnswers = false }
                );
                await RunAsync(
                        screen,
                        new StressModel(loaded.Chat, given.GetRequiredValue(chat.Path)),
                        options,
                        given.GetValue(json),
                        () => DeviceMemory.Of(loaded.Model.Model.Device) is { } bytes ? bytes.Total - bytes.Free : null,
                        stop
                    )
                    .ConfigureAwait(false);
            }
        );
        return command;
    }

    private static async Task RunAsync(
        Screen screen,
        IStressTarget target,
        StressOptions options,
        bool json,
        Func<long?>? memory,
        CancellationToken stop
    )
    {
        if (!json)
        {
            screen.Lines.WriteLine($"{target.Name}, answers of {options.MaxNewTokens} tokens");
            screen.Output.WriteLine(
                "prompt  concurrency  answers  first token s: p50    p90    p99  between tokens ms: p50    p99 "
                    + " tokens/s each: p50    p90  tokens/s all  failed"
            );
        }

        var results = await StressTest
            .RunAsync(target, options, json ? null : result => Print(screen, result), stop)
            .ConfigureAwait(false);
        var used = memory?.Invoke();
        if (json)
        {
            screen.Output.WriteLine(
                JsonSerializer.Serialize(
                    new
                    {
                        Target = target.Name,
                        options.MaxNewTokens,
                        DeviceBytes = used,
                        Results = results,
                    },
                    Readable
                )
            );
        }
        else if (used is { } bytes)
        {
            screen.Lines.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"memory in use on the GPU: {bytes / (double)(1L << 30):0.0} GiB"
                )
            );
        }
    }

    private static readonly JsonSerializerOptions Readable = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private static void Print(Screen screen, StressResult result)
    {
        var (first, speed) = (result.FirstTokenSeconds, result.TokensPerSecond);
        var between = result.BetweenTokensSeconds;
        screen.Output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{result.MeanPromptTokens,6:0}  {result.Concurrency,7}  {result.Requests,7}  {first.P50,18:0.000} "
                    + $"{first.P90,6:0.000} {first.P99,6:0.000}  {between.P50 * 1000,22:0.0} "
                    + $"{between.P99 * 1000,6:0.0}  {speed.P50,18:0.0} {speed.P90,6:0.0}  "
                    + $"{result.TotalTokensPerSecond,12:0.0}  {result.Failed,6}"
            )
        );
        if (result.Error is { } error)
        {
            screen.Error.WriteLine($"{result.Failed} requests failed; first error: {error}");
        }
    }

    private static Uri? ReadUrl(ArgumentResult result)
    {
        if (
            Uri.TryCreate(result.Tokens[0].Value, UriKind.Absolute, out var address)
            && address.Scheme is "http" or "https"
        )
        {
            return address;
        }

        result.AddError($"--url: '{result.Tokens[0].Value}' is not an http:// or https:// address.");
        return null;
    }
}
