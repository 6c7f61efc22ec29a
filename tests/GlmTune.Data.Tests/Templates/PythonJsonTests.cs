using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

public class PythonJsonTests
{
    public static TheoryData<string, string> Golden()
    {
        var data = new TheoryData<string, string>();
        foreach (var golden in SharedData.JsonFile(GoldenData.Path("tool_json.json")).EnumerateArray())
        {
            data.Add(golden.Text("json"), golden.Text("python_indent4"));
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void Text_is_that_of_json_dumps(string json, string expected) =>
        Assert.Equal(expected, PythonJson.Rewrite(json, indent: 4));

    [Theory] // Values of repr() in CPython.
    [InlineData("0.0001", "0.0001")]
    [InlineData("0.00001234", "1.234e-05")]
    [InlineData("123456789.25e3", "123456789250.0")]
    [InlineData("9999999999999998.0", "9999999999999998.0")]
    [InlineData("1e16", "1e+16")]
    [InlineData("-1.5e300", "-1.5e+300")]
    [InlineData("1e-320", "1e-320")]
    [InlineData("2.2250738585072014e-308", "2.2250738585072014e-308")]
    [InlineData("5.684341886080802e-14", "5.684341886080802e-14")]
    [InlineData("-0.0", "-0.0")]
    [InlineData("0e5", "0.0")]
    [InlineData("-0", "0")]
    [InlineData("1E400", "Infinity")]
    [InlineData("100.0", "100.0")]
    [InlineData("1200.5", "1200.5")]
    public void Numbers_are_written_as_Python_does(string json, string expected) =>
        Assert.Equal(expected, PythonJson.Rewrite(json, indent: null));

    [Fact]
    public void A_repeated_key_keeps_its_first_place_and_takes_its_last_value() =>
        Assert.Equal("""{"a": 3, "b": 2}""", PythonJson.Rewrite("""{"a": 1, "b": 2, "a": 3}""", indent: null));
}
