namespace GlmTune.SampleData.Pretrain;

/// <summary>Words: what they are in English, their opposites, their measure words.</summary>
internal static class Vocabulary
{
    /// <summary>Chinese words and their English.</summary>
    public static IReadOnlyList<(string Chinese, string English)> Words { get; } =
    [
        ("苹果", "apple"),
        ("香蕉", "banana"),
        ("水", "water"),
        ("茶", "tea"),
        ("牛奶", "milk"),
        ("面包", "bread"),
        ("米饭", "rice"),
        ("鱼", "fish"),
        ("猫", "cat"),
        ("狗", "dog"),
        ("鸟", "bird"),
        ("马", "horse"),
        ("牛", "cow"),
        ("羊", "sheep"),
        ("兔子", "rabbit"),
        ("老虎", "tiger"),
        ("书", "book"),
        ("笔", "pen"),
        ("桌子", "table"),
        ("椅子", "chair"),
        ("门", "door"),
        ("窗户", "window"),
        ("房子", "house"),
        ("学校", "school"),
        ("老师", "teacher"),
        ("学生", "student"),
        ("朋友", "friend"),
        ("妈妈", "mother"),
        ("爸爸", "father"),
        ("医生", "doctor"),
        ("太阳", "sun"),
        ("月亮", "moon"),
        ("星星", "star"),
        ("山", "mountain"),
        ("河", "river"),
        ("海", "sea"),
        ("花", "flower"),
        ("树", "tree"),
        ("雨", "rain"),
        ("雪", "snow"),
        ("风", "wind"),
        ("火", "fire"),
        ("天空", "sky"),
        ("城市", "city"),
        ("汽车", "car"),
        ("火车", "train"),
        ("飞机", "plane"),
        ("船", "ship"),
        ("红色", "red"),
        ("蓝色", "blue"),
        ("绿色", "green"),
        ("黄色", "yellow"),
        ("黑色", "black"),
        ("白色", "white"),
        ("大", "big"),
        ("小", "small"),
        ("好", "good"),
        ("坏", "bad"),
        ("新", "new"),
        ("旧", "old"),
        ("热", "hot"),
        ("冷", "cold"),
        ("快", "fast"),
        ("慢", "slow"),
        ("今天", "today"),
        ("明天", "tomorrow"),
        ("时间", "time"),
        ("手", "hand"),
        ("眼睛", "eye"),
        ("衬衫", "shirt"),
        ("裙子", "dress"),
        ("裤子", "trousers"),
        ("鞋子", "shoes"),
        ("帽子", "hat"),
        ("包", "bag"),
        ("外套", "coat"),
        ("一", "one"),
        ("二", "two"),
        ("三", "three"),
        ("十", "ten"),
    ];

    private static readonly (string One, string Other)[] Opposites =
    [
        ("大", "小"),
        ("高", "矮"),
        ("长", "短"),
        ("快", "慢"),
        ("冷", "热"),
        ("新", "旧"),
        ("好", "坏"),
        ("多", "少"),
        ("远", "近"),
        ("轻", "重"),
        ("黑", "白"),
        ("开", "关"),
        ("上", "下"),
        ("左", "右"),
        ("前", "后"),
        ("里", "外"),
        ("早", "晚"),
        ("干净", "脏"),
        ("安静", "吵闹"),
        ("高兴", "难过"),
        ("宽松", "紧身"),
        ("简单", "复杂"),
        ("厚", "薄"),
        ("软", "硬"),
        ("明亮", "昏暗"),
        ("便宜", "贵"),
        ("容易", "难"),
        ("胖", "瘦"),
        ("深", "浅"),
        ("先", "后来"),
    ];

    private static readonly (string Measure, string[] Things)[] MeasureWords =
    [
        ("本", ["书", "字典"]),
        ("只", ["猫", "鸟", "兔子", "羊"]),
        ("条", ["鱼", "裤子", "裙子", "河"]),
        ("件", ["衬衫", "外套", "毛衣"]),
        ("双", ["鞋子", "袜子"]),
        ("顶", ["帽子"]),
        ("张", ["桌子", "纸", "床"]),
        ("把", ["椅子", "雨伞"]),
        ("辆", ["汽车", "自行车"]),
        ("朵", ["花", "云"]),
        ("棵", ["树"]),
        ("杯", ["水", "茶", "牛奶"]),
        ("匹", ["马"]),
        ("头", ["牛", "大象"]),
        ("位", ["老师", "医生"]),
        ("支", ["笔"]),
        ("座", ["山", "城市"]),
        ("架", ["飞机"]),
    ];

    /// <summary>Words from Chinese to English and back, asked in several ways.</summary>
    public static IEnumerable<Conversation> Translations()
    {
        foreach (var (chinese, english) in Words)
        {
            yield return Conversation.Of($"“{chinese}”用英语怎么说？", $"“{chinese}”的英语是 {english}。");
            yield return Conversation.Of($"{chinese}的英文是什么", $"“{chinese}”的英语是 {english}。");
            yield return Conversation.Of($"翻译成英文：{chinese}", english);
            yield return Conversation.Of($"{english} 是什么意思？", $"{english} 的意思是“{chinese}”。");
            yield return Conversation.Of($"翻译成中文：{english}", chinese);
            yield return Conversation.Of(
                $"How do you say \"{english}\" in Chinese?",
                $"\"{english}\" is {chinese} in Chinese."
            );
        }
    }

    /// <summary>Opposites, both ways.</summary>
    public static IEnumerable<Conversation> OppositeWords()
    {
        foreach (
            var (one, other) in Opposites
                .SelectMany(pair => new[] { pair, (One: pair.Other, Other: pair.One) })
                .DistinctBy(pair => pair.One)
        )
        {
            yield return Conversation.Of($"{one}的反义词是什么？", $"“{one}”的反义词是“{other}”。");
            yield return Conversation.Of($"“{one}”的反义词", $"“{one}”的反义词是“{other}”。");
        }
    }

    /// <summary>Things with their measure words.</summary>
    public static IEnumerable<Conversation> Measures() =>
        from entry in MeasureWords
        from thing in entry.Things
        from row in new[]
        {
            Conversation.Of(
                $"{thing}用什么量词？",
                $"{thing}的量词是“{entry.Measure}”，比如一{entry.Measure}{thing}。"
            ),
            Conversation.Of($"填空：一（）{thing}", $"一{entry.Measure}{thing}"),
        }
        select row;

    /// <summary>Text to be said again as it is.</summary>
    public static IEnumerable<Conversation> Repetitions()
    {
        for (var i = 0; i < Words.Count; i++)
        {
            var (first, second, third) = (
                Words[i],
                Words[(i * 7 + 3) % Words.Count],
                Words[(i * 11 + 5) % Words.Count]
            );
            yield return Conversation.Of(
                $"请重复：{first.Chinese}、{second.Chinese}、{third.Chinese}",
                $"{first.Chinese}、{second.Chinese}、{third.Chinese}"
            );
            yield return Conversation.Of(
                $"Repeat: {first.English} {second.English} {third.English}",
                $"{first.English} {second.English} {third.English}"
            );
        }
    }
}
