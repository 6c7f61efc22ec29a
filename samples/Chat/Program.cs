// Chats with a model or an adapter, and shows the answer as it is generated.
using GlmTune.Recipes.Chat;
using Microsoft.Extensions.AI;

using var chat = TunedChat.Load(args.FirstOrDefault("models/glm-nano"));
List<ChatMessage> conversation = [new(ChatRole.User, "类型#裙*颜色#红色*裙长#长裙")];
await foreach (var update in chat.Client.GetStreamingResponseAsync(conversation, new ChatOptions { Temperature = 0 }))
{
    Console.Write(update.Text);
}

Console.WriteLine();
