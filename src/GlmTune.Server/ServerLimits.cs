namespace GlmTune.Server;

/// <summary>How much a request may ask for, and how many requests may wait.</summary>
public sealed record ServerLimits
{
    /// <summary>Bytes of a request's body, at most; more is answered with 413. Default 4 MiB.</summary>
    public long BodyBytes { get; init; } = 4L << 20;

    /// <summary>Bytes of bodies above 128 KiB that are held at one time, of all clients together; one client may hold
    /// half of them. More are answered with 429. Default an eighth of the memory that the program may use, from 64 MiB
    /// to 1 GiB.</summary>
    public long HeldBodyBytes { get; init; } =
        Math.Clamp(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 8, 64L << 20, 1L << 30);

    /// <summary>Bodies above 128 KiB that are parsed and tokenized at one time; the others wait. Default 4.</summary>
    public int LargeBodies { get; init; } = 4;

    /// <summary>Values and names in a body. Default 1 Mi.</summary>
    public int JsonValues { get; init; } = 1 << 20;

    /// <summary>Levels of nesting in a body. Default 64.</summary>
    public int JsonDepth { get; init; } = 64;

    /// <summary>Messages of a conversation. Default 2048.</summary>
    public int Messages { get; init; } = 2048;

    /// <summary>Tool calls of all messages together. Default 4096.</summary>
    public int ToolCalls { get; init; } = 4096;

    /// <summary>Content parts of all messages together. Default 16384.</summary>
    public int ContentParts { get; init; } = 16_384;

    /// <summary>Declared tools. Default 128.</summary>
    public int Tools { get; init; } = 128;

    /// <summary>Stop texts. Default 16.</summary>
    public int StopTexts { get; init; } = 16;

    /// <summary>Characters of a stop text. Default 256.</summary>
    public int StopTextLength { get; init; } = 256;

    /// <summary>Tokens that <c>logit_bias</c> names. Default 1024.</summary>
    public int LogitBiases { get; init; } = 1024;

    /// <summary>Answers to one request (<c>n</c>), and prompts of one request. Default 8.</summary>
    public int Choices { get; init; } = 8;

    /// <summary>Likeliest tokens reported at each place. Default 20.</summary>
    public int TopLogprobs { get; init; } = 20;

    /// <summary>Bytes of a JSON schema. Default 64 KiB.</summary>
    public int SchemaBytes { get; init; } = 64 << 10;

    /// <summary>Tokens of a prompt; null for what the model takes. Default null.</summary>
    public int? PromptTokens { get; init; }

    /// <summary>Requests that wait for a place, of all clients together; more are answered with 429. Default
    /// 256.</summary>
    public int Waiting { get; init; } = 256;

    /// <summary>Requests of one client that wait for a place; more are answered with 429. Default 128.</summary>
    public int WaitingOfOneClient { get; init; } = 128;

    /// <summary>Requests whose prompt is made tokens, and whose schemas are made grammars, at one time; the others
    /// wait. Default half of the processors, so that answers go on beside it; at least one.</summary>
    public int Preparing { get; init; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>How long a request may take, waiting included; then it is answered with 504, and cut off where that is
    /// not read. Default 10 minutes.</summary>
    public TimeSpan RequestTime { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a request for several answers lets others pass while too few places are free for all of its
    /// answers; then they begin one by one. Default 5 seconds.</summary>
    public TimeSpan PassingTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Characters of a stream's events that may wait to be sent, because they are read more slowly than they
    /// are made; then the answer ends with an error. Default 1 Mi.</summary>
    public long UnsentCharacters { get; init; } = 1L << 20;

    /// <summary>Connections at one time. Default 1024.</summary>
    public int Connections { get; init; } = 1024;
}
