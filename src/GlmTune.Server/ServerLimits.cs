namespace GlmTune.Server;

/// <summary>Limits on single requests and on waiting requests.</summary>
internal sealed record ServerLimits
{
    /// <summary>Maximum size of a request body in bytes; larger ones get 413. Default: 4 MiB.</summary>
    public long BodyBytes { get; init; } = 4L << 20;

    /// <summary>Maximum bytes of bodies above 128 KiB held at a time for all clients; a single client may hold half of
    /// them. Further ones get 429. Default: an eighth of the memory available to the program, between 64 MiB and 1
    /// GiB.</summary>
    public long HeldBodyBytes { get; init; } =
        Math.Clamp(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 8, 64L << 20, 1L << 30);

    /// <summary>Maximum number of bodies above 128 KiB parsed and tokenized at a time; others wait. Default:
    /// 4.</summary>
    public int LargeBodies { get; init; } = 4;

    /// <summary>Maximum number of values and names in a body. Default: 1 Mi.</summary>
    public int JsonValues { get; init; } = 1 << 20;

    /// <summary>Maximum nesting depth of a body. Default: 64.</summary>
    public int JsonDepth { get; init; } = 64;

    /// <summary>Maximum messages per conversation. Default: 2048.</summary>
    public int Messages { get; init; } = 2048;

    /// <summary>Maximum tool calls in all messages together. Default: 4096.</summary>
    public int ToolCalls { get; init; } = 4096;

    /// <summary>Maximum content parts in all messages together. Default: 16384.</summary>
    public int ContentParts { get; init; } = 16_384;

    /// <summary>Maximum declared tools. Default: 128.</summary>
    public int Tools { get; init; } = 128;

    /// <summary>Maximum stop sequences. Default: 16.</summary>
    public int StopTexts { get; init; } = 16;

    /// <summary>Maximum characters per stop sequence. Default: 256.</summary>
    public int StopTextLength { get; init; } = 256;

    /// <summary>Maximum tokens in <c>logit_bias</c>. Default: 1024.</summary>
    public int LogitBiases { get; init; } = 1024;

    /// <summary>Maximum answers (<c>n</c>), and prompts, per request. Default: 8.</summary>
    public int Choices { get; init; } = 8;

    /// <summary>Maximum number of most likely tokens returned per position. Default: 20.</summary>
    public int TopLogprobs { get; init; } = 20;

    /// <summary>Maximum size of a JSON schema in bytes. Default: 64 KiB.</summary>
    public int SchemaBytes { get; init; } = 64 << 10;

    /// <summary>Maximum tokens per prompt; null: what the model supports. Default: null.</summary>
    public int? PromptTokens { get; init; }

    /// <summary>Maximum requests waiting for a slot, for all clients together; further ones get 429. Default:
    /// 1024.</summary>
    public int Waiting { get; init; } = 1024;

    /// <summary>Maximum requests of one client waiting for a slot; further ones get 429. Default: 768, so that one
    /// client can use the whole server and the queue still has room for others.</summary>
    public int WaitingOfOneClient { get; init; } = 768;

    /// <summary>Maximum requests tokenized or compiled concurrently; others wait. Default: half of the processors, at
    /// least one, so that answers continue meanwhile.</summary>
    public int Preparing { get; init; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>Time limit of a request, including waiting. It then gets 504, and is disconnected if the client does
    /// not read that. Default: 10 minutes.</summary>
    public TimeSpan RequestTime { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a request for several answers lets others overtake it while not enough slots are free for all
    /// of its answers; after that, they start one by one. Default: 5 seconds.</summary>
    public TimeSpan PassingTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Maximum characters of streamed events waiting to be sent, if the client reads more slowly than they are
    /// produced; beyond it, the answer ends with an error. Default: 1 Mi.</summary>
    public long UnsentCharacters { get; init; } = 1L << 20;

    /// <summary>Maximum concurrent connections. Default: 1024.</summary>
    public int Connections { get; init; } = 1024;
}
