// Gets an answer as an object: the model can only write JSON that fits the type.
using GlmTune.Recipes.Chat;
using Microsoft.Extensions.AI;

using var chat = TunedChat.Load(args.FirstOrDefault("models/glm-nano"));
var answer = await chat.Client.GetResponseAsync<Garment>(
    "类型#裙*颜色#红色*裙长#长裙",
    new ChatOptions { Temperature = 0, MaxOutputTokens = 200 }
);
Console.WriteLine($"{answer.Result.Kind}, {answer.Result.Colour}, washable: {answer.Result.Washable}");

internal enum Kind
{
    Dress,
    Trousers,
    Shirt,
}

internal enum Colour
{
    Red,
    White,
    Black,
}

internal sealed record Garment(Kind Kind, Colour Colour, bool Washable);
