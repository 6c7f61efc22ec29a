namespace GlmTune.SampleData.Pretrain;

/// <summary>Common knowledge: capitals, colours, what things are, and short descriptions.</summary>
internal static class World
{
    private static readonly (string Country, string Capital, string EnglishCountry, string EnglishCapital)[] Capitals =
    [
        ("中国", "北京", "China", "Beijing"),
        ("日本", "东京", "Japan", "Tokyo"),
        ("韩国", "首尔", "South Korea", "Seoul"),
        ("法国", "巴黎", "France", "Paris"),
        ("英国", "伦敦", "the United Kingdom", "London"),
        ("德国", "柏林", "Germany", "Berlin"),
        ("意大利", "罗马", "Italy", "Rome"),
        ("西班牙", "马德里", "Spain", "Madrid"),
        ("俄罗斯", "莫斯科", "Russia", "Moscow"),
        ("美国", "华盛顿", "the United States", "Washington"),
        ("加拿大", "渥太华", "Canada", "Ottawa"),
        ("泰国", "曼谷", "Thailand", "Bangkok"),
        ("越南", "河内", "Vietnam", "Hanoi"),
        ("印度", "新德里", "India", "New Delhi"),
        ("埃及", "开罗", "Egypt", "Cairo"),
        ("希腊", "雅典", "Greece", "Athens"),
        ("波兰", "华沙", "Poland", "Warsaw"),
        ("古巴", "哈瓦那", "Cuba", "Havana"),
        ("秘鲁", "利马", "Peru", "Lima"),
        ("挪威", "奥斯陆", "Norway", "Oslo"),
        ("芬兰", "赫尔辛基", "Finland", "Helsinki"),
        ("奥地利", "维也纳", "Austria", "Vienna"),
        ("葡萄牙", "里斯本", "Portugal", "Lisbon"),
        ("新加坡", "新加坡", "Singapore", "Singapore"),
    ];

    private static readonly (string Thing, string Colour)[] Colours =
    [
        ("天空", "蓝色"),
        ("草地", "绿色"),
        ("雪", "白色"),
        ("太阳", "金黄色"),
        ("香蕉", "黄色"),
        ("草莓", "红色"),
        ("葡萄", "紫色"),
        ("煤", "黑色"),
        ("牛奶", "白色"),
        ("大海", "蓝色"),
        ("树叶", "绿色"),
        ("西红柿", "红色"),
        ("橙子", "橙色"),
        ("樱桃", "红色"),
        ("云", "白色"),
        ("夜空", "黑色"),
        ("咖啡", "棕色"),
        ("米饭", "白色"),
        ("黄瓜", "绿色"),
        ("柠檬", "黄色"),
        ("茄子", "紫色"),
        ("消防车", "红色"),
        ("大象", "灰色"),
        ("桃花", "粉色"),
    ];

    private static readonly (string Class, string[] Members)[] Classes =
    [
        ("水果", ["苹果", "香蕉", "葡萄", "西瓜", "橙子", "草莓", "桃子"]),
        ("动物", ["猫", "狗", "老虎", "大象", "兔子", "马", "鸟"]),
        ("蔬菜", ["白菜", "黄瓜", "茄子", "土豆", "萝卜"]),
        ("衣服", ["衬衫", "外套", "毛衣", "裤子", "裙子"]),
        ("交通工具", ["汽车", "火车", "飞机", "自行车", "船"]),
        ("颜色", ["红色", "蓝色", "绿色", "黄色", "黑色"]),
        ("家具", ["桌子", "椅子", "床", "柜子"]),
        ("国家", ["中国", "法国", "日本", "埃及"]),
    ];

    private static readonly (string Thing, string Text)[] Descriptions =
    [
        ("猫", "猫是一种小动物，喜欢睡觉，会抓老鼠。"),
        ("狗", "狗是人的好朋友，会看家，也很忠诚。"),
        ("老虎", "老虎是一种大型动物，身上有条纹，很有力气。"),
        ("大象", "大象是陆地上最大的动物，鼻子很长。"),
        ("兔子", "兔子耳朵长，跑得快，爱吃草。"),
        ("鸟", "鸟有翅膀，大多数会飞，会唱歌。"),
        ("鱼", "鱼生活在水里，用鳃呼吸。"),
        ("马", "马跑得很快，可以骑。"),
        ("苹果", "苹果是一种水果，又脆又甜。"),
        ("西瓜", "西瓜是夏天的水果，水分很多。"),
        ("茶", "茶是一种饮料，用茶叶泡成。"),
        ("太阳", "太阳是一颗恒星，给地球光和热。"),
        ("月亮", "月亮绕着地球转，晚上能看见。"),
        ("海", "海很大，水是咸的。"),
        ("山", "山是高高的地面，可以爬。"),
        ("春天", "春天天气变暖，花都开了。"),
        ("夏天", "夏天很热，可以游泳。"),
        ("秋天", "秋天凉爽，树叶变黄。"),
        ("冬天", "冬天很冷，有时会下雪。"),
        ("北京", "北京是中国的首都，有很多古老的建筑。"),
        ("上海", "上海是中国的大城市，在海边。"),
        ("书", "书里有文字和图画，可以学到知识。"),
        ("汽车", "汽车是一种交通工具，有四个轮子。"),
        ("飞机", "飞机在天上飞，可以去很远的地方。"),
        ("电脑", "电脑是一种机器，可以计算和上网。"),
        ("手机", "手机可以打电话，也可以拍照。"),
        ("学校", "学校是学生上课的地方。"),
        ("医院", "医院是医生给人看病的地方。"),
        ("棉", "棉是一种植物纤维，柔软，能吸汗。"),
        ("羊毛", "羊毛来自羊，做成衣服很保暖。"),
        ("衬衫", "衬衫是一种上衣，有领子和扣子。"),
        ("裙子", "裙子是一种衣服，穿在腰以下。"),
        ("帽子", "帽子戴在头上，可以遮阳或者保暖。"),
        ("语言模型", "语言模型是一种程序，能理解和生成文字。"),
    ];

    /// <summary>Capitals, asked both ways and in English.</summary>
    public static IEnumerable<Conversation> CapitalCities()
    {
        foreach (var (country, capital, englishCountry, englishCapital) in Capitals)
        {
            yield return Conversation.Of($"{country}的首都是哪里？", $"{country}的首都是{capital}。");
            yield return Conversation.Of($"{country}的首都是什么", $"{country}的首都是{capital}。");
            yield return Conversation.Of($"{capital}是哪个国家的首都？", $"{capital}是{country}的首都。");
            yield return Conversation.Of(
                $"What is the capital of {englishCountry}?",
                $"The capital of {englishCountry} is {englishCapital}."
            );
        }
    }

    /// <summary>The colours of things.</summary>
    public static IEnumerable<Conversation> ColoursOfThings()
    {
        foreach (var (thing, colour) in Colours)
        {
            yield return Conversation.Of($"{thing}是什么颜色？", $"{thing}是{colour}的。");
            yield return Conversation.Of($"{thing}什么颜色", $"{thing}是{colour}的。");
            var other = Colours.First(pair => pair.Colour != colour).Colour;
            yield return Conversation.Of($"{thing}是{other}的吗？", $"不是，{thing}是{colour}的。");
            yield return Conversation.Of($"{thing}是{colour}的吗？", $"是的，{thing}是{colour}的。");
        }
    }

    /// <summary>Which class a thing belongs to, and whether it belongs to another.</summary>
    public static IEnumerable<Conversation> ClassesOfThings()
    {
        for (var i = 0; i < Classes.Length; i++)
        {
            var (name, members) = Classes[i];
            var other = Classes[(i + 3) % Classes.Length].Class;
            foreach (var member in members)
            {
                yield return Conversation.Of($"{member}是{name}吗？", $"是的，{member}是{name}。");
                yield return Conversation.Of($"{member}是{other}吗？", $"不是，{member}是{name}，不是{other}。");
                yield return Conversation.Of($"{member}属于什么？", $"{member}属于{name}。");
            }

            yield return Conversation.Of($"说出三种{name}", $"{string.Join('、', members.Take(3))}。");
            yield return Conversation.Of($"有哪些{name}？", $"{name}有{string.Join('、', members.Take(4))}等。");
        }
    }

    /// <summary>Things described in a sentence.</summary>
    public static IEnumerable<Conversation> DescriptionsOfThings() =>
        from entry in Descriptions
        from asked in new[]
        {
            $"介绍一下{entry.Thing}",
            $"什么是{entry.Thing}？",
            $"{entry.Thing}是什么？",
            $"说说{entry.Thing}",
        }
        select Conversation.Of(asked, entry.Text);
}
