using System.Text;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary><c>POST /v1/completions</c>: continues plain text.</summary>
internal sealed class CompletionEndpoint(ServedModels models, ServerOptions options, Admission admission)
{
    private static readonly GenerationOperation Operation = new("text_completion");

    private const int DefaultMaxTokens = 16; // OpenAI's default.

    // Choices is the number generated per prompt, Returned the number that the client gets. Prompts is null until they
    // are tokenized.
    private sealed record Plan(
        ServedModel Model,
        IReadOnlyList<GivenPrompt> Given,
        int Choices,
        int Returned,
        CompletionRequest Request,
        GenerationOptions Options
    )
    {
        public IReadOnlyList<CompletionPrompt> Prompts { get; private init; } = [];

        public string? Client { get; init; }

        public int Answers => Given.Count * Choices;

        public Plan Tokenized(ServerLimits limits) =>
            this with
            {
                Prompts = [.. Given.Select(prompt => prompt.Tokenized(Model, limits))],
            };
    }

    private sealed record Update(string Text, CompletionLogprobs? Logprobs, string? Finish, Usage Usage)
    {
        // Sum of the log probabilities of all tokens so far, if choices are compared.
        public double LogProbability { get; init; }
    }

    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost(
                "/v1/completions",
                (HttpContext context, CompletionEndpoint endpoint) => endpoint.AnswerAsync(context)
            )
            .Accepts<CompletionRequest>("application/json")
            .Produces<Completion>()
            .WithErrors()
            .WithMetadata(Operation)
            .WithSummary("Continues text, complete or as server-sent events.");

    private async Task<IResult> AnswerAsync(HttpContext context)
    {
        var request = await RequestBody.ReadAsync<CompletionRequest>(context, options.Limits);
        var read = Read(request) with { Client = ApiKeyGuard.ClientOf(context) };
        models.Use(context, read.Model);
        var measured = MeasuredRequest.Of(context);
        measured.Name(Operation, read.Model.Id);
        var admitted = await admission.EnterAsync(context, read.Answers, () => read.Tokenized(options.Limits));
        var plan = admitted.Prepared;
        var (id, created) = ($"cmpl-{Guid.NewGuid():N}", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        if (plan.Request.Stream == true)
        {
            return EventStream.Of(context, admitted.Deadline, StreamAsync);
        }

        var answers = await admitted.MakeAsync(
            (first, count, stop) =>
                UpdatesOf(plan, measured, first, count, stop)
                    .Select((updates, index) => WholeAsync(updates, first + index)),
            admitted.Deadline.Token
        );
        var returned = plan.Choices == plan.Returned ? answers.Select(answer => answer.Choice) : Best(plan, answers);
        return ApiJson.Result(
            Response([.. returned]) with
            {
                Usage = Sum(plan, [.. answers.Select(answer => answer.Usage)]),
            }
        );

        Completion Response(IReadOnlyList<CompletionChoice> choices) =>
            new(id, created, plan.Model.Id, choices) { SystemFingerprint = models.Fingerprint };

        async Task<(CompletionChoice Choice, Usage Usage, double Score)> WholeAsync(
            IAsyncEnumerable<Update> updates,
            int index
        )
        {
            var (text, logprobs) = (new StringBuilder(), new List<CompletionLogprobs>());
            Update last = new("", null, null, new Usage(0, 0));
            await foreach (var update in updates)
            {
                text.Append(update.Text);
                logprobs.AddRange(update.Logprobs is null ? [] : [update.Logprobs]);
                last = update;
            }

            return (
                new CompletionChoice(
                    index,
                    text.ToString(),
                    last.Finish,
                    plan.Request.Logprobs is null ? null : Joined(logprobs)
                ),
                last.Usage,
                last.LogProbability / Math.Max(1, last.Usage.CompletionTokens)
            );
        }

        async Task StreamAsync(EventStream events, CancellationToken cancellation)
        {
            var usages = await admitted.MakeAsync(
                (first, count, stop) =>
                    UpdatesOf(plan, measured, first, count, stop)
                        .Select((updates, index) => SendAsync(events, updates, first + index)),
                cancellation
            );
            if (plan.Request.StreamOptions?.IncludeUsage == true)
            {
                events.Write(ApiJson.Text(Response([]) with { Usage = Sum(plan, usages) }));
            }
        }

        async Task<Usage> SendAsync(EventStream events, IAsyncEnumerable<Update> updates, int index)
        {
            var usage = new Usage(0, 0);
            await foreach (var update in updates)
            {
                usage = update.Usage;
                events.Write(
                    ApiJson.Text(Response([new CompletionChoice(index, update.Text, update.Finish, update.Logprobs)]))
                );
            }

            return usage;
        }
    }

    private Plan Read(CompletionRequest request)
    {
        var model = models.Named(request.Model);
        var problems = new FieldProblems();
        var generation = request.Options(model.Chat.Template.Tokenizer.Count, options.Limits, problems);
        problems.Range("logprobs", request.Logprobs, 0, 5);
        var (returned, made) = (request.N ?? 1, request.BestOf ?? request.N ?? 1);
        problems.Range("best_of", request.BestOf, 1, options.Limits.Choices);
        problems.Check(made >= returned, "best_of", $"is {made}, fewer than n, which is {returned}");
        problems.Check(
            made == returned || request.Stream != true,
            "best_of",
            "is more than n, which requires complete answers: remove 'stream'"
        );
        problems.Check(string.IsNullOrEmpty(request.Suffix), "suffix", "is not supported");
        problems.Check(
            request.Echo != true || request.Logprobs is null,
            "echo",
            "with 'logprobs' would need log probabilities of the prompt, which are not available; remove one of them"
        );
        problems.ThrowIfAny();
        var prompts = GivenPrompt.ReadAll(request.Prompt, model, options.Limits);
        var most = made > returned ? "best_of" : "n";
        return prompts.Count * made <= options.Limits.Choices
            ? new Plan(
                model,
                prompts,
                made,
                returned,
                request,
                generation with
                {
                    MaxNewTokens = request.MaxTokens ?? DefaultMaxTokens,
                }
            )
            : throw ApiException.Wrong(
                most,
                $"'{most}' requests {prompts.Count * made} answers for all prompts; expected at most "
                    + $"{options.Limits.Choices}."
            );
    }

    // For each prompt, the answers with the highest mean log probability per token.
    private static IEnumerable<CompletionChoice> Best(
        Plan plan,
        (CompletionChoice Choice, Usage Usage, double Score)[] answers
    ) =>
        answers
            .Chunk(plan.Choices)
            .SelectMany(ofOne => ofOne.OrderByDescending(answer => answer.Score).Take(plan.Returned))
            .Select((answer, index) => answer.Choice with { Index = index });

    private static IEnumerable<IAsyncEnumerable<Update>> UpdatesOf(
        Plan plan,
        MeasuredRequest measured,
        int first,
        int count,
        CancellationToken cancellation
    )
    {
        var requests = Enumerable
            .Range(first, count)
            .Select(answer => new GenerationRequest(plan.Prompts[answer / plan.Choices].Ids)
            {
                Options = plan.Options with
                {
                    Seed = plan.Options.Seed is { } seed ? unchecked(seed + (answer % plan.Choices)) : null,
                },
                Adapter = plan.Model.Adapter,
                Client = plan.Client,
                LogProbabilities = plan.Request.Logprobs is not null || plan.Choices > plan.Returned,
                TopLogProbabilities = plan.Request.Logprobs ?? 0,
            });
        return plan
            .Model.Chat.Scheduler.StreamAll([.. requests], cancellation)
            .Select((tokens, index) => UpdatesAsync(plan, measured.NewAnswer(), first + index, tokens, cancellation));
    }

    private static async IAsyncEnumerable<Update> UpdatesAsync(
        Plan plan,
        MeasuredAnswer measured,
        int index,
        IAsyncEnumerable<GeneratedToken> tokens,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var (prompt, choice) = (plan.Prompts[index / plan.Choices], index % plan.Choices);
        var tokenizer = plan.Model.Chat.Template.Tokenizer;
        var (decoder, stopped) = (
            new StreamingDecoder(tokenizer),
            new StopSequenceMatcher(plan.Request.Stop?.Texts ?? [])
        );
        var (pending, offset, count, cached, finish) = (new List<GeneratedToken>(), 0, 0, 0, "length");
        var likelihood = 0.0;
        if (plan.Request.Echo == true)
        {
            offset = prompt.Text.Length;
            yield return new Update(prompt.Text, null, null, new Usage(prompt.Ids.Length, 0));
        }

        await foreach (var token in tokens.WithCancellation(cancellation))
        {
            count++;
            measured.Token();
            cached = token.CachedTokens;
            likelihood += token.LogProbability ?? 0;
            if (token.Finish == FinishReason.Stop)
            {
                finish = "stop";
                break;
            }

            pending.Add(token);
            var text = stopped.Add(decoder.Add(token.Id));
            if (text.Length > 0)
            {
                yield return new Update(text, Logprobs(plan, tokenizer, pending, ref offset), null, Counts());
            }

            if (stopped.Stopped)
            {
                finish = "stop";
                break;
            }
        }

        var rest = stopped.Stopped ? "" : stopped.Add(decoder.Finish(), last: true);
        finish = stopped.Stopped ? "stop" : finish;
        measured.End(choice == 0 ? prompt.Ids.Length : 0, choice == 0 ? cached : 0, count);
        yield return new Update(
            rest,
            rest.Length > 0 ? Logprobs(plan, tokenizer, pending, ref offset) : null,
            finish,
            Counts()
        )
        {
            LogProbability = likelihood,
        };

        Usage Counts() => new(prompt.Ids.Length, count) { PromptTokensDetails = new(cached) };
    }

    private static CompletionLogprobs? Logprobs(
        Plan plan,
        Tokenizer tokenizer,
        List<GeneratedToken> pending,
        ref int offset
    )
    {
        if (plan.Request.Logprobs is null)
        {
            pending.Clear();
            return null;
        }

        var (tokens, offsets) = (new List<string>(), new List<int>());
        foreach (var token in pending)
        {
            tokens.Add(tokenizer.Decode([token.Id], skipSpecial: false));
            offsets.Add(offset);
            offset += tokens[^1].Length;
        }

        var returned = new CompletionLogprobs(
            tokens,
            [.. pending.Select(token => Math.Max(token.LogProbability ?? 0, -9999))],
            [
                .. pending.Select(token =>
                    (IReadOnlyDictionary<string, double>)
                        (token.TopProbabilities ?? [])
                            .DistinctBy(likely => tokenizer.Decode([likely.Id], skipSpecial: false))
                            .ToDictionary(
                                likely => tokenizer.Decode([likely.Id], skipSpecial: false),
                                likely => Math.Max(likely.LogProbability, -9999)
                            )
                ),
            ],
            offsets
        );
        pending.Clear();
        return returned;
    }

    private static CompletionLogprobs Joined(List<CompletionLogprobs> parts) =>
        new(
            [.. parts.SelectMany(part => part.Tokens)],
            [.. parts.SelectMany(part => part.TokenLogprobs)],
            [.. parts.SelectMany(part => part.TopLogprobs)],
            [.. parts.SelectMany(part => part.TextOffset)]
        );

    private static Usage Sum(Plan plan, Usage[] answers) =>
        new(plan.Prompts.Sum(prompt => prompt.Ids.Length), answers.Sum(answer => answer.CompletionTokens))
        {
            PromptTokensDetails = new(
                answers
                    .Index()
                    .Where(answer => answer.Index % plan.Choices == 0)
                    .Sum(answer => answer.Item.PromptTokensDetails.CachedTokens)
            ),
        };
}
