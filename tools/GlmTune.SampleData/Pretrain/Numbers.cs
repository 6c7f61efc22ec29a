namespace GlmTune.SampleData.Pretrain;

/// <summary>Sums with small numbers, comparing, counting, days and months.</summary>
internal static class Numbers
{
    private static readonly string[] Weekdays = ["星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"];

    /// <summary>Adding, taking away and multiplying, with results from 0 to 100.</summary>
    public static IEnumerable<Conversation> Sums()
    {
        for (var a = 0; a <= 12; a++)
        {
            for (var b = 0; b <= 12; b++)
            {
                yield return Conversation.Of($"{a}加{b}等于几？", $"{a}加{b}等于{a + b}。");
                yield return Conversation.Of($"{a}+{b}=?", $"{a}+{b}={a + b}");
                if (a >= b)
                {
                    yield return Conversation.Of($"{a}减{b}等于几？", $"{a}减{b}等于{a - b}。");
                    yield return Conversation.Of($"{a}-{b}=?", $"{a}-{b}={a - b}");
                }

                if (a is > 0 and < 10 && b is > 0 and < 10)
                {
                    yield return Conversation.Of($"{a}乘{b}等于几？", $"{a}乘{b}等于{a * b}。");
                    yield return Conversation.Of($"What is {a} plus {b}?", $"{a} plus {b} is {a + b}.");
                }
            }
        }
    }

    /// <summary>Which of two numbers is larger.</summary>
    public static IEnumerable<Conversation> Comparisons()
    {
        for (var a = 0; a <= 20; a++)
        {
            for (var b = 0; b <= 20; b++)
            {
                if (a != b)
                {
                    yield return Conversation.Of($"{a}和{b}哪个大？", $"{Math.Max(a, b)}比{Math.Min(a, b)}大。");
                }
            }
        }
    }

    /// <summary>Counting, what comes next, days of the week and months.</summary>
    public static IEnumerable<Conversation> Sequences()
    {
        for (var first = 1; first <= 10; first++)
        {
            for (var length = 3; length <= 8; length++)
            {
                yield return Conversation.Of(
                    $"从{first}数到{first + length - 1}",
                    $"{string.Join('、', Enumerable.Range(first, length))}。"
                );
            }
        }

        for (var number = 0; number <= 50; number++)
        {
            yield return Conversation.Of($"{number}后面是几？", $"{number}后面是{number + 1}。");
        }

        for (var day = 0; day < 7; day++)
        {
            yield return Conversation.Of($"今天{Weekdays[day]}，明天星期几？", $"明天是{Weekdays[(day + 1) % 7]}。");
            yield return Conversation.Of($"今天{Weekdays[day]}，昨天星期几？", $"昨天是{Weekdays[(day + 6) % 7]}。");
        }

        for (var month = 1; month <= 12; month++)
        {
            var season = month switch
            {
                >= 3 and <= 5 => "春天",
                >= 6 and <= 8 => "夏天",
                >= 9 and <= 11 => "秋天",
                _ => "冬天",
            };
            yield return Conversation.Of($"{month}月是什么季节？", $"在北半球，{month}月是{season}。");
            yield return Conversation.Of($"{month}月之后是几月？", $"{month}月之后是{(month % 12) + 1}月。");
        }

        yield return Conversation.Of("一年有几个月？", "一年有12个月。");
        yield return Conversation.Of("一周有几天？", "一周有7天。");
        yield return Conversation.Of("一天有多少小时？", "一天有24小时。");
    }
}
