// An endpoint that answers with a tuned model, by dependency injection.
using GlmTune.Recipes.Chat;
using Microsoft.Extensions.AI;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddSingleton(_ => TunedChat.Load(builder.Configuration["Model"] ?? "models/glm-nano"));
builder
    .Services.AddChatClient(services => services.GetRequiredService<TunedChat>().Client)
    .UseFunctionInvocation()
    .UseLogging();

var app = builder.Build();
app.MapPost(
    "/answers",
    async (Question question, IChatClient client, CancellationToken cancelled) =>
    {
        var answer = await client.GetResponseAsync(question.Text, new ChatOptions { Temperature = 0 }, cancelled);
        return new Answer(answer.Text, answer.Usage?.OutputTokenCount);
    }
);
app.Run();

internal sealed record Question(string Text);

internal sealed record Answer(string Text, long? Tokens);
