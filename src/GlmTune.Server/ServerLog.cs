namespace GlmTune.Server;

/// <summary>All messages of the server's log; none contains text of a conversation.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(EventId = 1, Message = "{Method} {Path} {Status} {Milliseconds} ms")]
    public static partial void Answered(
        this ILogger logger,
        LogLevel level,
        string method,
        string path,
        int status,
        long milliseconds
    );

    [LoggerMessage(EventId = 2, Level = LogLevel.Error, Message = "{Path} failed")]
    public static partial void RequestFailed(this ILogger logger, Exception exception, string path);

    [LoggerMessage(EventId = 4, Level = LogLevel.Information, Message = "loaded the adapter {Name} from {Folder}")]
    public static partial void AdapterLoaded(this ILogger logger, string name, string folder);

    [LoggerMessage(EventId = 5, Level = LogLevel.Information, Message = "unloaded the adapter {Name}")]
    public static partial void AdapterUnloaded(this ILogger logger, string name);

    [LoggerMessage(EventId = 3, Level = LogLevel.Error, Message = "{Path}: {Problem}")]
    public static partial void OutOfMemory(this ILogger logger, string problem, string path);
}
