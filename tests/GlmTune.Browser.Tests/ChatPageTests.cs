using System.Text.Json;
using GlmTune.Server;
using Microsoft.Extensions.AI;
using Microsoft.Playwright;
using static GlmTune.Browser.Tests.ScriptedServer;

namespace GlmTune.Browser.Tests;

/// <summary>The chat page, used as people use it.</summary>
public sealed class ChatPageTests(Chromium chromium) : BrowserTests(chromium)
{
    private const string Rich = """
        ## A short plan

        Text with **bold**, *emphasis*, `code` and a [link](https://example.org/docs). 这条裙子采用**棉质**面料，白色清新。

        1. Read the data
           - a nested item
        2. Train

        | option | value |
        |---|---:|
        | `r` | 8 |

        ```csharp
        foreach (var report in trainer.Steps(batches, stop)) { Console.WriteLine(report); }
        ```

        > Calm words.
        """;

    [Fact]
    public async Task An_answer_streams_in_is_shown_as_markdown_and_stays_when_the_page_is_loaded_again()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [Say(Rich[..30]), null!, Say(Rich[30..]), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await Assertions.Expect(tab.Role(AriaRole.Heading, "What would you like to ask?")).ToBeVisibleAsync();
        await tab.ShootAsync("chat-empty");
        await tab.SendAsync("类型#裙*材质#棉");
        await Assertions.Expect(tab.Role(AriaRole.Heading, "A short plan")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.Locator("#messages")).ToHaveAttributeAsync("aria-busy", "true");
        await Assertions.Expect(tab.Button("Stop")).ToBeEnabledAsync();
        server.Gate.SetResult();
        await tab.AnsweredAsync();
        async Task Shown()
        {
            await Assertions.Expect(tab.Page.Locator(".markdown strong").First).ToHaveTextAsync("bold");
            await Assertions.Expect(tab.Page.Locator(".markdown td").Nth(1)).ToHaveClassAsync("align-right");
            await Assertions.Expect(tab.Page.Locator(".markdown ol > li > ul > li")).ToHaveTextAsync("a nested item");
            await Assertions
                .Expect(tab.Page.Locator(".code-block code"))
                .ToContainTextAsync("trainer.Steps(batches, stop)");
            await Assertions
                .Expect(tab.Role(AriaRole.Link, "link"))
                .ToHaveAttributeAsync("href", "https://example.org/docs");
            await Assertions.Expect(tab.Page.Locator(".figures")).ToContainTextAsync("7 tokens");
        }

        await Shown();
        await tab.ShootAsync("chat");
        await tab.Page.ReloadAsync();
        await Shown();
        await Assertions.Expect(tab.Page.Locator(".bubble")).ToHaveTextAsync("类型#裙*材质#棉");
        await Assertions.Expect(tab.Page.Locator("#title")).ToHaveTextAsync("类型#裙*材质#棉");
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task Stop_ends_the_answer_here_and_at_the_server_and_keeps_what_there_is()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [Say("half an answer"), null!, End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.SendAsync("go");
        await Assertions.Expect(tab.Page.GetByText("half an answer")).ToBeVisibleAsync();
        await tab.Page.Keyboard.PressAsync("Escape");
        await server.Aborted.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await tab.AnsweredAsync();
        await Assertions.Expect(tab.Page.GetByText("Stopped", new() { Exact = true })).ToBeVisibleAsync();
        await tab.Page.ReloadAsync();
        await Assertions.Expect(tab.Page.GetByText("half an answer")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.GetByText("Stopped", new() { Exact = true })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Thoughts_are_folded_above_the_answer_and_go_back_to_the_server()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [Think("Hm. <b>"), Think("Well."), Say("Four."), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("two and two?");
        var thoughts = tab.Page.Locator(".thoughts div");
        await Assertions.Expect(thoughts).ToBeHiddenAsync();
        await tab.Page.GetByText("Thoughts", new() { Exact = true }).ClickAsync();
        await Assertions.Expect(thoughts).ToHaveTextAsync("Hm. <b>Well.");
        await Assertions.Expect(tab.Page.Locator(".markdown")).ToHaveTextAsync("Four.");
        await tab.AccessibleAsync();

        server.Answer = _ => [Say("Five."), End("stop")];
        await tab.AskAsync("and one?");
        var sent = server.Requests.Last().GetProperty("messages")[1];
        Assert.Equal("Hm. <b>Well.", sent.GetProperty("reasoning_content").GetString());
        await Assertions.Expect(tab.Page.Locator(".thoughts >> visible=true")).ToHaveCountAsync(1);
    }

    [Fact]
    public async Task A_message_is_edited_and_the_conversation_goes_on_from_there_or_comes_back()
    {
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("one");
        await tab.AskAsync("two");
        Assert.Equal(["user: one", "assistant: base says: one", "user: two"], Messages(server.Requests.Last()));

        await tab.Button("Regenerate").ClickAsync();
        await tab.AnsweredAsync();
        Assert.Equal(["user: one", "assistant: base says: one", "user: two"], Messages(server.Requests.Last()));
        await Assertions.Expect(tab.Page.Locator(".turn")).ToHaveCountAsync(2);

        await tab.Button("Edit the message").First.ClickAsync();
        await tab.Page.GetByRole(AriaRole.Textbox, new() { Name = "Edit the message" }).FillAsync("uno");
        await tab.Button("Save and send").ClickAsync();
        await Assertions.Expect(tab.Page.Locator(".turn")).ToHaveCountAsync(1);
        await tab.AnsweredAsync();
        Assert.Equal(["user: uno"], Messages(server.Requests.Last()));
        await tab.Button("Undo").ClickAsync();
        await Assertions.Expect(tab.Page.Locator(".bubble")).ToHaveTextAsync(["one", "two"]);

        await tab.Button("Edit").Last.ClickAsync();
        await tab.Page.GetByRole(AriaRole.Textbox, new() { Name = "Edit the message" }).FillAsync("a better answer");
        await tab.Button("Save").ClickAsync();
        await tab.AskAsync("three");
        Assert.Equal("assistant: a better answer", Messages(server.Requests.Last()).ElementAt(3));
    }

    [Fact]
    public async Task Two_models_answer_side_by_side()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = request =>
            [
                Say(
                    Text(request, "model") == "tuned"
                        ? "这条裙子采用棉质面料，白色清新，简约的版型修饰身材。"
                        : "我可以为您写一段广告，请告诉我更多细节。"
                ),
                End("stop"),
            ];
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("before");
        await tab.Button("Compare two models").ClickAsync();
        await tab.AskAsync("类型#裙*材质#棉*颜色#白色");
        Assert.Equal(["base", "base", "tuned"], server.Requests.Select(request => Text(request, "model")).Order());
        Assert.All(server.Requests.Skip(1), request => Assert.Equal(3, Messages(request).Count()));
        await Assertions.Expect(tab.Role(AriaRole.Group, "Assistant: base").Last).ToContainTextAsync("我可以");
        await Assertions.Expect(tab.Role(AriaRole.Group, "Assistant: tuned")).ToContainTextAsync("这条裙子");
        Assert.Equal(
            (await tab.Page.Locator(".reply").Nth(1).BoundingBoxAsync())!.Y,
            (await tab.Page.Locator(".reply").Nth(2).BoundingBoxAsync())!.Y
        );
        await tab.ShootAsync("chat-compare");
        await tab.Page.Locator("select").Nth(1).SelectOptionAsync("base");
        await tab.AskAsync("again");
        Assert.Equal(
            "assistant: 这条裙子采用棉质面料，白色清新，简约的版型修饰身材。",
            Messages(
                    server.Requests.Last(request =>
                        Messages(request).ElementAtOrDefault(3)?.Contains("裙子", StringComparison.Ordinal) == true
                    )
                )
                .ElementAt(3)
        );
        await tab.Page.ReloadAsync();
        await Assertions.Expect(tab.Page.Locator(".replies.two")).ToHaveCountAsync(2);
    }

    [Fact]
    public async Task Settings_are_sent_and_a_call_of_a_tool_is_shown_and_answered()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = request =>
            LastMessage(request) == "Beijing?"
                ? [Call("call_1", "get_weather", """{"city": "北京"}"""), End("tool_calls")]
                : [Say("It is sunny."), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("defaults");
        Assert.False(server.Requests.Last().TryGetProperty("temperature", out _));

        await tab.Button("Settings").ClickAsync();
        await tab.Page.GetByLabel("System prompt").FillAsync("Be brief.");
        await tab.Page.GetByLabel("Temperature", new() { Exact = true }).FillAsync("0.3");
        await tab.Page.GetByLabel("Max tokens", new() { Exact = true }).FillAsync("512");
        await tab.Page.GetByLabel("Repetition penalty", new() { Exact = true }).FillAsync("1.2");
        await tab.Page.GetByLabel("Top p", new() { Exact = true }).FillAsync("0.5");
        await tab.Page.GetByRole(AriaRole.Textbox, new() { Name = "Tools" }).FillAsync("[{");
        await Assertions.Expect(tab.Page.Locator("#tools-note")).ToContainTextAsync("Invalid list of tools");
        await tab
            .Page.GetByRole(AriaRole.Textbox, new() { Name = "Tools" })
            .FillAsync("""[{"name": "get_weather", "parameters": {"type": "object"}}]""");
        await tab.AskAsync("Beijing?");
        var request = server.Requests.Last();
        Assert.Equal("system: Be brief.", Messages(request).First());
        Assert.Equal(
            (0.3, 0.5, 512, 1.2),
            (
                request.GetProperty("temperature").GetDouble(),
                request.GetProperty("top_p").GetDouble(),
                request.GetProperty("max_tokens").GetInt32(),
                request.GetProperty("repetition_penalty").GetDouble()
            )
        );
        Assert.Equal(
            "get_weather",
            request.GetProperty("tools")[0].GetProperty("function").GetProperty("name").GetString()
        );

        await Assertions.Expect(tab.Page.Locator(".tool pre")).ToContainTextAsync("\"city\": \"北京\"");
        await tab.ShootAsync("chat-tools");
        await tab.AccessibleAsync();
        await tab.Page.GetByLabel("Result of get_weather").FillAsync("""{"sky": "clear"}""");
        await tab.Button("Send the result").ClickAsync();
        await Assertions.Expect(tab.Page.GetByText("It is sunny.").Last).ToBeVisibleAsync();
        var after = server.Requests.Last().GetProperty("messages").EnumerateArray().ToList();
        Assert.Equal("call_1", after[^2].GetProperty("tool_calls")[0].GetProperty("id").GetString());
        Assert.Equal(
            ("tool", "call_1", """{"sky": "clear"}"""),
            (Text(after[^1], "role"), Text(after[^1], "tool_call_id"), Text(after[^1], "content"))
        );
    }

    [Fact]
    public async Task A_tool_of_the_server_runs_when_the_user_agrees_and_unasked_where_that_was_allowed()
    {
        var calls = new List<string>();
        var tools = new ServerTools(
            [
                AIFunctionFactory.Create(
                    (string city) =>
                    {
                        calls.Add($"weather {city}");
                        return $"clear in {city}";
                    },
                    "get_weather",
                    "The weather of a city."
                ),
                AIFunctionFactory.Create(
                    () =>
                    {
                        calls.Add("time");
                        return "noon";
                    },
                    "get_time",
                    "The time."
                ),
            ],
            ["get_time"]
        );
        await using var server = await ScriptedServer.StartAsync(tools: tools);
        server.Answer = request =>
            LastMessage(request) switch
            {
                "weather?" => [Call("call_1", "get_weather", """{"city": "北京"}"""), End("tool_calls")],
                "time?" => [Call("call_2", "get_time", "{}"), End("tool_calls")],
                var said => [Say($"heard: {said}"), End("stop")],
            };
        await using var tab = await OpenAsync(server.Address);
        await tab.Button("Settings").ClickAsync();
        await tab.Page.GetByLabel("get_weather").CheckAsync();
        await tab.Page.GetByLabel("get_time").CheckAsync();
        await tab.AskAsync("weather?");
        Assert.Equal(
            ["get_weather", "get_time"],
            server
                .Requests.Last()
                .GetProperty("tools")
                .EnumerateArray()
                .Select(tool => tool.GetProperty("function").GetProperty("name").GetString())
        );
        Assert.Empty(calls);
        await tab.Button("Run on the server").ClickAsync();
        await Assertions.Expect(tab.Page.GetByText("heard: clear in 北京")).ToBeVisibleAsync();
        await tab.SendAsync("time?");
        await Assertions.Expect(tab.Page.GetByText("heard: noon")).ToBeVisibleAsync();
        Assert.Equal(["weather 北京", "time"], calls);
        await tab.ShootAsync("chat-server-tools");
        var file = await tab.Page.RunAndWaitForDownloadAsync(() =>
            tab.Page.GetByLabel("Export as a training row").ClickAsync()
        );
        var row = JsonDocument.Parse(await File.ReadAllTextAsync(await file.PathAsync())).RootElement;
        Assert.Equal(
            ["get_weather", "get_time"],
            row.GetProperty("tools")
                .EnumerateArray()
                .Select(tool => tool.GetProperty("function").GetProperty("name").GetString())
        );
    }

    [Fact]
    public async Task What_the_user_does_before_the_models_are_there_waits_for_them()
    {
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        var (asked, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await tab.Page.RouteAsync(
            "**/v1/models",
            async route =>
            {
                asked.TrySetResult();
                await answer.Task;
                await route.ContinueAsync();
            }
        );
        await tab.Page.ReloadAsync();
        await asked.Task;
        await tab.Button("Settings").ClickAsync();
        await tab.Button("Compare two models").ClickAsync();
        await tab.SendAsync("early");
        Assert.Empty(server.Requests);
        answer.SetResult();
        await Assertions.Expect(tab.Page.GetByText("base says: early")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.GetByText("tuned says: early")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.GetByLabel("Temperature", new() { Exact = true })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_tool_that_the_user_described_never_runs_on_the_server_whatever_its_name()
    {
        var ran = false;
        var tools = new ServerTools(
            [AIFunctionFactory.Create(() => ran = true, "get_time", "The time.")],
            ["get_time"]
        );
        await using var server = await ScriptedServer.StartAsync(tools: tools);
        server.Answer = request =>
            LastMessage(request) is "time?"
                ? [Call("call_1", "get_time", "{}"), End("tool_calls")]
                : [Say($"heard: {LastMessage(request)}"), End("stop")];
        await using var tab = await OpenAsync(server.Address);
        await tab.Button("Settings").ClickAsync();
        await tab
            .Page.GetByRole(AriaRole.Textbox, new() { Name = "Tools" })
            .FillAsync("""[{"name": "get_time", "description": "Mine.", "parameters": {"type": "object"}}]""");
        await tab.SendAsync("time?");

        // It is the user's to answer.
        await Assertions.Expect(tab.Page.Locator(".tool pre")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Button("Run on the server")).ToHaveCountAsync(0);
        await tab.Page.GetByLabel("Result of get_time").FillAsync("noon");
        await tab.Button("Send the result").ClickAsync();
        await Assertions.Expect(tab.Page.GetByText("heard: noon")).ToBeVisibleAsync();
        Assert.False(ran);
    }

    [Fact]
    public async Task Conversations_are_listed_renamed_exported_deleted_and_brought_back()
    {
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("first");
        await tab.Button("New chat").First.ClickAsync();
        await tab.AskAsync("second");
        await Assertions.Expect(tab.Page.Locator(".conversation .pick")).ToHaveTextAsync(["second", "first"]);
        await tab.Button("Rename: second").ClickAsync();
        await tab.Page.GetByRole(AriaRole.Textbox, new() { Name = "Rename" }).FillAsync("a <b>name</b>");
        await tab.Page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(tab.Page.Locator("#title")).ToHaveTextAsync("a <b>name</b>");
        var file = await tab.Page.RunAndWaitForDownloadAsync(() =>
            tab.Button("Export as a training row: a <b>name</b>").ClickAsync()
        );
        Assert.Equal("a bnameb.jsonl", file.SuggestedFilename);
        var row = JsonDocument.Parse(await File.ReadAllTextAsync(await file.PathAsync())).RootElement;
        Assert.Equal(["user: second", "assistant: base says: second"], Messages(row));
        await tab.Button("Delete: a <b>name</b>").ClickAsync();
        await Assertions.Expect(tab.Page.Locator(".conversation .pick")).ToHaveTextAsync(["first"]);
        await tab.Button("Undo").ClickAsync();
        await Assertions.Expect(tab.Page.Locator(".conversation .pick").First).ToHaveTextAsync("a <b>name</b>");
        await tab.Page.ReloadAsync();
        await Assertions.Expect(tab.Page.Locator(".conversation")).ToHaveCountAsync(2);
    }

    [Fact]
    public async Task Keys_do_what_the_list_of_shortcuts_says()
    {
        await using var server = await ScriptedServer.StartAsync();
        await using var tab = await OpenAsync(server.Address);
        await Assertions.Expect(tab.Message).ToBeFocusedAsync();
        await tab.Page.Keyboard.TypeAsync("one");
        await tab.Page.Keyboard.PressAsync("Shift+Enter");
        await tab.Page.Keyboard.TypeAsync("two");
        await tab.Page.Keyboard.PressAsync("Enter");
        await tab.AnsweredAsync();
        await Assertions.Expect(tab.Page.Locator(".bubble")).ToHaveTextAsync("one\ntwo");
        await tab.Page.Keyboard.PressAsync("ArrowUp");
        await Assertions
            .Expect(tab.Page.GetByRole(AriaRole.Textbox, new() { Name = "Edit the message" }))
            .ToBeFocusedAsync();
        await tab.Page.Keyboard.PressAsync("Escape");
        await tab.Page.Locator("#title").ClickAsync();
        await tab.Page.Keyboard.PressAsync("?");
        await Assertions.Expect(tab.Role(AriaRole.Dialog, "Keyboard shortcuts")).ToBeVisibleAsync();
        await tab.Page.Keyboard.PressAsync("Escape");
        await tab.Page.Keyboard.PressAsync("/");
        await Assertions.Expect(tab.Message).ToBeFocusedAsync();
        await tab.Page.Keyboard.PressAsync("Alt+n");
        await Assertions.Expect(tab.Page.Locator(".turn")).ToHaveCountAsync(0);
        await tab.Page.Keyboard.PressAsync("Alt+ArrowDown");
        await Assertions.Expect(tab.Page.Locator(".turn")).ToHaveCountAsync(1);
        // The first stop of the page leads past the list.
        Assert.Equal(
            "Skip to the message box",
            await tab.Page.Locator("a, button, input, textarea, select").First.TextContentAsync()
        );
        await tab.Role(AriaRole.Link, "Skip to the message box").PressAsync("Enter");
        await Assertions.Expect(tab.Message).ToBeFocusedAsync();
    }

    [Fact]
    public async Task A_server_with_keys_is_asked_with_the_key_that_was_typed()
    {
        await using var server = await ScriptedServer.StartAsync(new ServerOptions { ApiKeys = ["sesame-open"] });
        await using var tab = await OpenAsync(server.Address);
        tab.Expected.Add("401");
        await Assertions.Expect(tab.Role(AriaRole.Dialog, "API key")).ToBeVisibleAsync();
        await tab.Page.GetByLabel("API key").Last.FillAsync("wrong-key");
        await tab.Button("Save").ClickAsync();
        await Assertions.Expect(tab.Page.GetByText("The server refused the key.")).ToBeVisibleAsync();
        await tab.Page.Locator("#key-field").FillAsync("sesame-open");
        await tab.Button("Save").ClickAsync();
        await tab.AskAsync("in");
        await Assertions.Expect(tab.Page.GetByText("base says: in")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task An_error_of_the_server_is_shown_and_can_be_tried_again()
    {
        await using var server = await ScriptedServer.StartAsync();
        var isFirst = true;
        server.Answer = request =>
        {
            (var was, isFirst) = (isFirst, false);
            return was
                ? [new { error = new { message = "The prompt has 9000 tokens; at most 8192 fit." } }]
                : [Say("fine now"), End("length")];
        };
        await using var tab = await OpenAsync(server.Address);
        await tab.AskAsync("long");
        await Assertions.Expect(tab.Page.GetByRole(AriaRole.Alert)).ToContainTextAsync("at most 8192 fit");
        await tab.Button("Try again").ClickAsync();
        await Assertions.Expect(tab.Page.GetByText("fine now")).ToBeVisibleAsync();
        await Assertions.Expect(tab.Page.GetByText("Stopped at the token limit")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Roles_and_names_say_what_the_page_is_and_axe_finds_nothing_in_light_dark_and_on_a_phone()
    {
        await using var server = await ScriptedServer.StartAsync();
        server.Answer = _ => [Say(Rich), End("stop")];
        await using (var tab = await OpenAsync(server.Address))
        {
            await tab.AskAsync("hello");
            await Assertions
                .Expect(tab.Page.Locator("body"))
                .ToMatchAriaSnapshotAsync(
                    """
                    - link "Skip to the message box"
                    - complementary "Conversations":
                      - button "New chat"
                      - navigation "Conversations":
                        - list:
                          - listitem:
                            - button "hello"
                      - navigation "Pages":
                        - link "Training"
                        - button "Keyboard shortcuts"
                        - button "Light or dark"
                        - button "中文"
                    - main:
                      - heading "hello" [level=1]
                      - combobox "Model"
                      - button "Compare two models"
                      - button "Settings"
                      - log "Messages":
                        - article:
                          - heading "You" [level=2]
                          - button "Edit the message"
                          - 'group "Assistant: base"':
                            - heading "base" [level=2]
                            - heading "A short plan" [level=3]
                            - button "Regenerate"
                      - textbox "Message"
                      - button "Send" [disabled]
                    """
                );
            await tab.AccessibleAsync();
            await tab.Button("Settings").ClickAsync();
            await tab.AccessibleAsync();
            await tab.ShootAsync("chat-settings");
        }

        await using (
            var tab = await OpenAsync(
                server.Address,
                new BrowserNewContextOptions { ColorScheme = ColorScheme.Dark, Locale = "zh-CN" }
            )
        )
        {
            await tab.AskAsync("写一段广告");
            await tab.ShootAsync("chat-dark-chinese");
            await Assertions.Expect(tab.Page.Locator("html")).ToHaveAttributeAsync("lang", "zh-CN");
            await tab.AccessibleAsync();
            await tab.Button("切换浅色/深色").ClickAsync();
            await tab.Button("English").ClickAsync();
            await Assertions.Expect(tab.Page.GetByPlaceholder("Write a message")).ToBeVisibleAsync();
            await tab.Page.ReloadAsync();
            await Assertions.Expect(tab.Page.Locator("html")).ToHaveAttributeAsync("data-theme", "light");
            await Assertions.Expect(tab.Page.Locator("html")).ToHaveAttributeAsync("lang", "en");
        }

        await using (
            var tab = await OpenAsync(
                server.Address,
                new BrowserNewContextOptions
                {
                    ViewportSize = new ViewportSize { Width = 390, Height = 844 },
                    HasTouch = true,
                    IsMobile = true,
                }
            )
        )
        {
            await tab.AskAsync("hello");
            await tab.ShootAsync("chat-phone");
            Assert.Equal(390, await tab.Page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
            await tab.AccessibleAsync();
            await tab.Button("Conversation list").ClickAsync();
            await tab.Page.Locator(".conversation .pick").WaitForAsync();
            await tab.ShootAsync("chat-phone-list");
            await tab.Page.Locator(".conversation .pick").ClickAsync();
            await Assertions.Expect(tab.Page.Locator("#sidebar")).Not.ToBeInViewportAsync();
        }
    }
}
