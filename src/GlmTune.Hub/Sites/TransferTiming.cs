namespace GlmTune.Hub.Sites;

/// <summary>How long to wait, and how often to try again.</summary>
internal sealed record TransferTiming
{
    /// <summary>Attempts after the first, of a request and of a file without progress between them.</summary>
    public int Retries { get; init; } = 5;

    /// <summary>Wait before the first retry; it doubles with each further one.</summary>
    public TimeSpan FirstWait { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest wait that a server may ask for (<c>Retry-After</c>).</summary>
    public TimeSpan LongestWait { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Longest silence of a server: until it answers, and between two pieces of a file.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Measures the waits.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}
