using System.Globalization;
using System.Text.Json.Nodes;

namespace GlmTune.SampleData.Tools;

/// <summary>The tools of data/tools. All are invented; their results are drawn, not looked up.</summary>
internal static class ToolCatalogue
{
    private static readonly string[] Cities = ["北京", "上海", "广州", "杭州", "成都", "西安", "南京", "武汉"];
    private static readonly string[] EnglishCities = ["London", "Paris", "Tokyo", "Berlin", "Rome", "Madrid"];
    private static readonly string[] Goods = ["衬衫", "连衣裙", "牛仔裤", "帆布鞋", "双肩包", "渔夫帽", "风衣", "毛衣"];
    private static readonly string[] Colours = ["黑色", "白色", "红色", "蓝色", "灰色", "米色"];
    private static readonly string[] Days = ["今天", "明天", "后天"];
    private static readonly (string Code, string Name)[] Currencies =
    [
        ("USD", "美元"),
        ("EUR", "欧元"),
        ("JPY", "日元"),
        ("GBP", "英镑"),
    ];

    /// <summary>Every tool.</summary>
    public static IReadOnlyList<Tool> Tools { get; } =
    [
        new(
            "get_weather",
            "查询一个城市的天气",
            [new("city", "string", "城市名"), new("day", "string", "哪一天", Days)],
            Weather
        ),
        new(
            "search_goods",
            "按名称和颜色查找商品",
            [new("name", "string", "商品名"), new("color", "string", "颜色", Required: false)],
            SearchGoods
        ),
        new("track_order", "查询订单的物流", [new("order_id", "string", "订单号")], TrackOrder),
        new(
            "convert_currency",
            "把人民币换算成外币",
            [
                new("amount", "number", "人民币金额"),
                new("currency", "string", "目标货币", ["USD", "EUR", "JPY", "GBP"]),
            ],
            ConvertCurrency
        ),
        new(
            "set_alarm",
            "设置闹钟",
            [new("time", "string", "时间，如 07:30"), new("label", "string", "提醒内容", Required: false)],
            SetAlarm
        ),
        new("calculate", "计算一个算式", [new("expression", "string", "算式")], Calculate),
        new(
            "book_table",
            "预订餐厅",
            [new("restaurant", "string", "餐厅名"), new("people", "integer", "人数"), new("time", "string", "时间")],
            BookTable
        ),
        new(
            "check_stock",
            "查询商品库存",
            [new("name", "string", "商品名"), new("size", "string", "尺码", ["S", "M", "L", "XL"])],
            CheckStock
        ),
        new("get_time", "Get the local time of a city", [new("city", "string", "name of the city")], LocalTime),
        new(
            "random_number",
            "Draw a random whole number",
            [new("low", "integer", "smallest value"), new("high", "integer", "largest value")],
            RandomNumber
        ),
    ];

    private static ToolUse Weather(SeededRandom random)
    {
        var (city, day) = (random.Pick(Cities), random.Pick(Days));
        var (sky, degrees) = (random.Pick<string>(["晴", "多云", "小雨", "阴"]), random.Between(-5, 35));
        return new(
            random.Pick<string>([$"{city}{day}天气怎么样？", $"帮我查一下{day}{city}的天气", $"{day}{city}冷不冷？"]),
            new() { ["city"] = city, ["day"] = day },
            new() { ["weather"] = sky, ["temperature"] = degrees },
            $"{city}{day}{sky}，气温{degrees}度。{(degrees < 10 ? "天冷，记得多穿一点。" : sky == "小雨" ? "出门请带伞。" : "")}"
        );
    }

    private static ToolUse SearchGoods(SeededRandom random)
    {
        var (name, count) = (random.Pick(Goods), random.Next(20));
        var price = random.Between(3, 40) * 10 - 1;
        var colour = random.Percent(60) ? random.Pick(Colours) : "";
        var arguments = new JsonObject { ["name"] = name };
        if (colour.Length > 0)
        {
            arguments["color"] = colour;
        }

        return new(
            random.Pick<string>([$"有{colour}{name}吗？", $"我想买{colour}{name}", $"帮我找一下{colour}{name}"]),
            arguments,
            count == 0 ? new() { ["count"] = 0 } : new() { ["count"] = count, ["lowest_price"] = price },
            count == 0 ? $"抱歉，没有找到{colour}{name}。" : $"找到{count}款{colour}{name}，最低{price}元。"
        );
    }

    private static ToolUse TrackOrder(SeededRandom random)
    {
        var order = random.Between(100000, 999999).ToString(CultureInfo.InvariantCulture);
        var (city, found) = (random.Pick(Cities), random.Percent(85));
        return new(
            random.Pick<string>([
                $"订单{order}到哪了？",
                $"帮我查一下订单{order}",
                $"我的快递什么时候到？订单号是{order}",
            ]),
            new() { ["order_id"] = order },
            found ? new() { ["status"] = "运输中", ["place"] = city } : new() { ["error"] = "订单不存在" },
            found ? $"订单{order}正在运输中，现在到了{city}。" : $"没有找到订单{order}，请检查订单号。"
        );
    }

    private static ToolUse ConvertCurrency(SeededRandom random)
    {
        var (amount, currency) = (random.Between(1, 50) * 100, random.Pick(Currencies));
        var result = random.Between(10, 9999);
        return new(
            random.Pick<string>([$"{amount}元人民币是多少{currency.Name}？", $"把{amount}元换成{currency.Name}"]),
            new() { ["amount"] = amount, ["currency"] = currency.Code },
            new() { ["result"] = result },
            $"{amount}元人民币大约是{result}{currency.Name}。"
        );
    }

    private static ToolUse SetAlarm(SeededRandom random)
    {
        var time = Clock(random);
        var label = random.Pick<string>(["起床", "开会", "吃药", "跑步", "喝水", ""]);
        var arguments = new JsonObject { ["time"] = time };
        if (label.Length > 0)
        {
            arguments["label"] = label;
        }

        return new(
            label.Length > 0
                ? random.Pick<string>([$"{time}提醒我{label}", $"设一个{time}的闹钟，{label}"])
                : $"设一个{time}的闹钟",
            arguments,
            new() { ["success"] = true },
            $"好的，{time}会提醒你{label}。"
        );
    }

    private static ToolUse Calculate(SeededRandom random)
    {
        var (a, b) = (random.Between(10, 999), random.Between(10, 99));
        var (sign, result) = random.Pick<(string, int)>([("+", a + b), ("-", a - b), ("*", a * b)]);
        return new(
            $"算一下 {a}{sign}{b}",
            new() { ["expression"] = $"{a}{sign}{b}" },
            new() { ["result"] = result },
            $"{a}{sign}{b}={result}"
        );
    }

    private static ToolUse BookTable(SeededRandom random)
    {
        var (restaurant, people, time) = (
            random.Pick<string>(["海边小馆", "老城火锅", "春风饭店", "竹林茶餐厅"]),
            random.Between(2, 10),
            Clock(random)
        );
        var free = random.Percent(75);
        return new(
            $"帮我订{restaurant}，{people}个人，{time}",
            new()
            {
                ["restaurant"] = restaurant,
                ["people"] = people,
                ["time"] = time,
            },
            new() { ["success"] = free },
            free ? $"已经订好{restaurant}，{people}位，{time}。" : $"抱歉，{restaurant}{time}没有位子了。"
        );
    }

    private static ToolUse CheckStock(SeededRandom random)
    {
        var (name, size, left) = (random.Pick(Goods), random.Pick<string>(["S", "M", "L", "XL"]), random.Next(30));
        return new(
            $"{name}的{size}码还有吗？",
            new() { ["name"] = name, ["size"] = size },
            new() { ["left"] = left },
            left == 0 ? $"{name}的{size}码已经卖完了。" : $"{name}的{size}码还有{left}件。"
        );
    }

    private static ToolUse LocalTime(SeededRandom random)
    {
        var (city, time) = (random.Pick(EnglishCities), Clock(random));
        return new(
            random.Pick<string>([$"What time is it in {city}?", $"Tell me the time in {city}"]),
            new() { ["city"] = city },
            new() { ["time"] = time },
            $"It is {time} in {city}."
        );
    }

    private static ToolUse RandomNumber(SeededRandom random)
    {
        var high = random.Between(1, 10) * 10;
        var number = random.Between(1, high);
        return new(
            random.Pick<string>([$"Pick a number from 1 to {high}", $"Give me a random number between 1 and {high}"]),
            new() { ["low"] = 1, ["high"] = high },
            new() { ["number"] = number },
            $"The number is {number}."
        );
    }

    private static string Clock(SeededRandom random) => $"{random.Between(6, 22):00}:{random.Next(4) * 15:00}";
}
