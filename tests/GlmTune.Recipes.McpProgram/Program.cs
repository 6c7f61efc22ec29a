using ModelContextProtocol.Server;

if (args is ["fail"])
{
    Console.Error.WriteLine("no license");
    return 3;
}

await using var server = McpServer.Create(
    new StdioServerTransport("tools"),
    new McpServerOptions
    {
        ToolCollection = args is [var only]
            ? [McpServerTool.Create(() => "", new McpServerToolCreateOptions { Name = only })]
            :
            [
                McpServerTool.Create(
                    (int a, int b) => $"{a + b}",
                    new McpServerToolCreateOptions { Name = "add", Description = "The sum of two whole numbers" }
                ),
                McpServerTool.Create(
                    (string name) => Environment.GetEnvironmentVariable(name) ?? "unset",
                    new McpServerToolCreateOptions { Name = "variable" }
                ),
                McpServerTool.Create(
                    string () => throw new ModelContextProtocol.McpException("out of paper"),
                    new McpServerToolCreateOptions { Name = "print" }
                ),
                McpServerTool.Create(
                    async (CancellationToken stop) =>
                    {
                        await Task.Delay(-1, stop);
                        return "";
                    },
                    new McpServerToolCreateOptions { Name = "wait" }
                ),
            ],
    }
);
await server.RunAsync();
return 0;
