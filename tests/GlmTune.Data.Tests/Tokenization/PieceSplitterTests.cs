using System.Text.RegularExpressions;
using CsCheck;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Tokenization;

public class PieceSplitterTests
{
    [Theory]
    [InlineData("I've we'LL don'ſ it'S", "I", "'ve", " we", "'LL", " don", "'ſ", " it", "'S")]
    [InlineData("12345 67", "123", "45", " ", "67")]
    [InlineData("a  b", "a", " ", " b")]
    [InlineData("a \n\n b", "a", " \n\n", " b")]
    [InlineData("end  ", "end", "  ")]
    [InlineData("x =  y!!\r\n\r\nz", "x", " =", " ", " y", "!!\r\n\r\n", "z")]
    [InlineData("\u00A0a\u3000b\u2003\u2003c", "\u00A0a", "\u3000b", "\u2003", "\u2003c")]
    [InlineData("\t\tif", "\t", "\tif")]
    [InlineData("𝑺𝓲 𠀀𠀁 𝟙𝟚𝟛𝟜 😀😀a", "𝑺𝓲", " 𠀀𠀁", " ", "𝟙𝟚𝟛", "𝟜", " 😀😀", "a")]
    [InlineData("\n'd", "\n", "'d")]
    [InlineData("'", "'")]
    [InlineData("''s", "''", "s")]
    public void Text_is_cut_as_GLM4_cuts_it(string text, params string[] pieces) => Assert.Equal(pieces, Pieces(text));

    [Fact]
    public void Below_U_10000_the_pieces_are_those_of_the_regular_expression()
    {
        var pattern = new Regex(PieceSplitter.Pattern, RegexOptions.CultureInvariant);
        const string alphabet = "aZ'sStTreEvVlLmMdD09٢½ \t\r\n\u000B\u0085\u00A0\u2028\u3000.,-!_é你\u0301ǅʰⅠ€";
        Gen.String[Gen.Char[alphabet], 0, 40]
            .Sample(
                text => Assert.Equal(pattern.Matches(text).Select(match => match.Value), Pieces(text)),
                iter: 20_000,
                seed: "0000KOIPe5I3"
            );
    }

    [Fact]
    public void Pieces_put_together_are_the_text() =>
        Gen.String.Sample(text => Assert.Equal(text, string.Concat(Pieces(text))), iter: 2_000, seed: "0000KOIPe5I3");

    private static IEnumerable<string> Pieces(string text)
    {
        for (int start = 0, end; start < text.Length; start = end)
        {
            end = PieceSplitter.EndOfPiece(text, start);
            Assert.True(end > start);
            yield return text[start..end];
        }
    }
}
