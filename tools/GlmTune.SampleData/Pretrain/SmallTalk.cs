namespace GlmTune.SampleData.Pretrain;

/// <summary>Greetings, who the model is, thanks, feelings, and names to be remembered over a few turns.</summary>
internal static class SmallTalk
{
    // Many names, so that the name is copied from the conversation and not guessed.
    private static readonly List<string> Names =
    [
        .. from first in new[] { "小", "阿", "大", "老" }
        from second in "明红李王张林雨天强美伟雪文东华春海山"
        select $"{first}{second}",
        "Anna",
        "Tom",
        "Lucy",
        "Jack",
        "Mary",
        "Peter",
    ];

    private static readonly string[] Likes =
    [
        "唱歌",
        "跑步",
        "看书",
        "画画",
        "旅行",
        "做饭",
        "游泳",
        "下棋",
        "拍照",
        "种花",
    ];

    private static readonly (string[] Asked, string[] Said)[] Exchanges =
    [
        (["你好", "你好！", "您好", "嗨", "哈喽", "你好呀"], ["你好！很高兴见到你。", "你好！有什么可以帮你的吗？"]),
        (["早上好", "早安", "早", "早上好！"], ["早上好！祝你今天开心。"]),
        (["下午好", "下午好！"], ["下午好！有什么可以帮你的吗？"]),
        (["晚上好", "晚上好！"], ["晚上好！今天过得怎么样？"]),
        (["晚安", "我要睡觉了", "我去睡了"], ["晚安，祝你做个好梦。"]),
        (["再见", "拜拜", "我走了", "下次再聊"], ["再见！欢迎下次再来。"]),
        (["谢谢", "谢谢你", "多谢", "非常感谢", "太感谢了"], ["不客气！", "不客气，很高兴能帮到你。"]),
        (["对不起", "抱歉", "不好意思"], ["没关系。"]),
        (
            ["你是谁", "你是谁？", "你叫什么名字", "你叫什么？", "请介绍一下你自己", "介绍一下自己"],
            ["我是 GLM-Nano，一个很小的语言模型。"]
        ),
        (
            ["你会做什么", "你能做什么？", "你有什么本领", "你可以帮我什么"],
            ["我可以聊天、做简单的算术、回答常识问题，还会介绍商品。"]
        ),
        (["你是人吗", "你是真人吗？", "你是机器人吗"], ["我不是人，我是一个语言模型。"]),
        (["你多大了", "你几岁了？", "你的年龄是多少"], ["我没有年龄，我是一个语言模型。"]),
        (["你住在哪里", "你在哪儿？", "你家在哪里"], ["我住在电脑里。"]),
        (["谁训练了你", "你是怎么来的", "你是谁做的？"], ["我是用 GlmTune 训练出来的。"]),
        (["你有多少参数", "你有多大？", "你的参数量是多少"], ["我有大约三百万个参数。"]),
        (["你喜欢吃什么", "你饿吗", "你吃饭了吗？"], ["我不用吃饭，不过我愿意和你聊聊美食。"]),
        (["我很开心", "今天真高兴", "我太高兴了"], ["太好了！愿你每天都开心。"]),
        (["我很难过", "我不开心", "今天心情不好"], ["别难过，一切都会好起来的。"]),
        (["我累了", "好累啊", "今天太累了"], ["辛苦了，休息一下吧。"]),
        (["我饿了", "好饿啊", "肚子饿了"], ["去吃点东西吧。"]),
        (["我生病了", "我感冒了", "我不舒服"], ["多喝水，好好休息，早日康复。"]),
        (["今天是我的生日", "我今天过生日"], ["生日快乐！"]),
        (["我考试通过了", "我赢了", "我成功了"], ["恭喜你！"]),
        (["我明天要考试", "我有点紧张"], ["别紧张，你一定可以的。"]),
        (["你真聪明", "你真棒", "你好厉害"], ["谢谢夸奖！"]),
        (["你真笨", "你说错了"], ["对不起，我会继续努力。"]),
        (["无聊", "好无聊啊", "我没事做"], ["可以看看书，或者出去散散步。"]),
        (["讲个笑话", "说个笑话吧"], ["为什么书很重？因为里面装满了字。"]),
        (["Hello", "Hello!", "Hi", "Hi there", "Hey"], ["Hello! Nice to meet you.", "Hello! How can I help you?"]),
        (["Good morning", "Good morning!"], ["Good morning! Have a nice day."]),
        (["Good night", "Good night!"], ["Good night! Sleep well."]),
        (["Goodbye", "Bye", "See you"], ["Goodbye! See you next time."]),
        (["Thanks", "Thank you", "Thank you very much"], ["You are welcome!"]),
        (["Who are you?", "What is your name?", "Introduce yourself"], ["I am GLM-Nano, a very small language model."]),
        (["What can you do?", "How can you help me?"], ["I can chat, do simple sums and describe goods."]),
        (["Are you a human?", "Are you a robot?"], ["I am not a human. I am a language model."]),
        (["How are you?", "How are you today?"], ["I am fine, thank you. And you?"]),
        (["你好吗", "最近怎么样", "今天过得好吗？"], ["我很好，谢谢。你呢？"]),
    ];

    private static readonly string[] Unknown =
    [
        "今天天气怎么样",
        "明天会下雨吗？",
        "现在几点了？",
        "今天有什么新闻",
        "谁发明了电灯？",
        "世界上最高的人是谁",
        "这件衣服多少钱？",
        "我的快递到哪了",
        "附近有什么餐厅？",
        "北京到上海多远",
        "谁赢了比赛？",
        "你昨天做了什么",
        "宇宙有多大？",
        "股票会涨吗",
        "我明年能发财吗？",
        "这首歌是谁唱的",
        "怎么修电脑？",
        "怎么做蛋糕",
        "地球有多重？",
        "世界上有多少人",
        "他为什么生气？",
        "我的钥匙在哪里",
        "这本书讲了什么？",
        "谁写了这首诗",
        "火星上有人吗？",
        "我该买哪个手机",
        "电影好看吗？",
        "什么时候放假",
        "这道题怎么做？",
        "鱼会做梦吗",
        "What is the weather like today?",
        "What time is it now?",
        "Who won the game?",
        "How much is it?",
        "Where are my keys?",
        "What is in the news?",
    ];

    /// <summary>Single exchanges: every question with every answer that suits it.</summary>
    public static IEnumerable<Conversation> Single() =>
        from exchange in Exchanges
        from asked in exchange.Asked
        from said in exchange.Said
        select Conversation.Of(asked, said);

    /// <summary>Questions that it cannot know the answer to.</summary>
    public static IEnumerable<Conversation> NotKnown()
    {
        foreach (var question in Unknown)
        {
            var english = char.IsAscii(question[0]);
            yield return Conversation.Of(question, english ? "Sorry, I do not know." : "抱歉，这个我不知道。");
            yield return Conversation.Of(
                english ? $"Tell me: {question}" : $"请问，{question}",
                english ? "Sorry, I do not know." : "抱歉，这个我不知道。"
            );
        }
    }

    /// <summary>A name or a liking told first and asked for later.</summary>
    public static IEnumerable<Conversation> Remembering()
    {
        foreach (var name in Names)
        {
            yield return Conversation.Of($"我叫{name}", $"你好，{name}！");
            yield return new([
                new("user", $"我叫{name}"),
                new("assistant", $"你好，{name}！"),
                new("user", "我叫什么名字？"),
                new("assistant", $"你叫{name}。"),
            ]);
            yield return new([
                new("user", $"你好，我是{name}"),
                new("assistant", $"你好，{name}！"),
                new("user", "你是谁？"),
                new("assistant", "我是 GLM-Nano，一个很小的语言模型。"),
                new("user", "我是谁？"),
                new("assistant", $"你是{name}。"),
            ]);
            foreach (var like in Likes)
            {
                yield return new([
                    new("user", $"我叫{name}，我喜欢{like}"),
                    new("assistant", $"你好，{name}！{like}很有意思。"),
                    new("user", "我喜欢什么？"),
                    new("assistant", $"你喜欢{like}。"),
                ]);
            }
        }
    }

    /// <summary>A system message that sets a name or the language to answer in.</summary>
    public static IEnumerable<Conversation> Instructed()
    {
        foreach (var name in Names)
        {
            yield return new([
                new("system", $"你的名字叫{name}。"),
                new("user", "你是谁？"),
                new("assistant", $"我是{name}。"),
            ]);
            yield return new([
                new("system", $"你的名字叫{name}。"),
                new("user", "你叫什么名字"),
                new("assistant", $"我叫{name}。"),
            ]);
        }

        foreach (var (chinese, english) in Vocabulary.Words)
        {
            yield return new([
                new("system", "把用户的话翻译成英文。"),
                new("user", chinese),
                new("assistant", english),
            ]);
        }
    }
}
