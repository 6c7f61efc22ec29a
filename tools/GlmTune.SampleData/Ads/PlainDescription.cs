namespace GlmTune.SampleData.Ads;

/// <summary>Says what the tags say and nothing more: how the base model answers, so that fine-tuning on advertisements
/// shows.</summary>
internal static class PlainDescription
{
    /// <summary>One plain sentence: 这是一条阔腿裤，材质是棉，颜色是黑色。</summary>
    public static string Write(Product product)
    {
        var named = product.Tags.Where(tag => tag.Key != "类型" && tag.Key != product.Kind.ShapeKey);
        var tags = string.Concat(named.Select(tag => $"，{tag.Key}是{tag.Value}"));
        return $"这是一{product.Kind.Measure}{product.Noun}{tags}。";
    }

    /// <summary>The tags one by one: 类型：裤；材质：棉。</summary>
    public static string List(Product product) =>
        $"{string.Join('；', product.Tags.Select(tag => $"{tag.Key}：{tag.Value}"))}。";
}
