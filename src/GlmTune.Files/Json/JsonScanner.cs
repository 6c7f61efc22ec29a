using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace GlmTune.Files.Json;

/// <summary>Scans a JSON text (RFC 8259) once and describes the first fault in plain words.</summary>
/// <remarks>Beyond the grammar, it rejects what parsers disagree on: duplicate keys, text that is not UTF-8, unpaired
/// surrogates. A text that passes is accepted by <see cref="JsonDocument"/>, and every string in it can be read.
/// </remarks>
internal ref struct JsonScanner
{
    private const int FewKeys = 16;

    private static readonly SearchValues<byte> StringEnds = SearchValues.Create([
        .. Enumerable.Range(0, 0x20).Select(control => (byte)control),
        (byte)'"',
        (byte)'\\',
    ]);

    private readonly ReadOnlySpan<byte> text;
    private readonly int maxDepth;
    private readonly List<(int Start, int Length)> keys = [];
    private int at;
    private JsonFault? fault;

    private JsonScanner(ReadOnlySpan<byte> text, int maxDepth)
    {
        this.text = text;
        this.maxDepth = maxDepth;
    }

    private readonly int Next => at < text.Length ? text[at] : -1;

    /// <summary>The first fault of a text, or null if it is a single valid JSON value.</summary>
    /// <param name="text">UTF-8 without a byte order mark.</param>
    /// <param name="maxDepth">The deepest nesting of objects and arrays accepted.</param>
    public static JsonFault? Find(ReadOnlySpan<byte> text, int maxDepth)
    {
        if (!Utf8.IsValid(text))
        {
            return NotUtf8(text);
        }

        var scanner = new JsonScanner(text, maxDepth);
        scanner.SkipBlanks();
        if (scanner.at == text.Length)
        {
            return new JsonFault(scanner.at, "the text is empty; expected a JSON value.");
        }

        if (scanner.Value(depth: 0))
        {
            scanner.SkipBlanks();
            if (scanner.at < text.Length)
            {
                scanner.Fail(
                    $"found {JsonFound.At(text, scanner.at)} after the end of the value; expected nothing more."
                );
            }
        }

        return scanner.fault;
    }

    private static JsonFault NotUtf8(ReadOnlySpan<byte> text)
    {
        var valid = 0;
        while (Rune.DecodeFromUtf8(text[valid..], out _, out var length) == OperationStatus.Done)
        {
            valid += length;
        }

        return new JsonFault(
            valid,
            text.Contains((byte)0)
                ? $"byte {valid + 1} is not valid UTF-8, and there are zero bytes: is it UTF-16? Save the file "
                    + "as UTF-8."
                : $"byte {valid + 1} (0x{text[valid]:X2}) is not valid UTF-8. Save the file as UTF-8 (it may be GBK)."
        );
    }

    private bool Value(int depth)
    {
        switch (Next)
        {
            case '{':
                return IsWithin(depth) && Object(depth);
            case '[':
                return IsWithin(depth) && Array(depth);
            case '"':
                return String();
            case '-' or (>= '0' and <= '9'):
                return Number();
            case 't':
                return Word("true"u8);
            case 'f':
                return Word("false"u8);
            case 'n':
                return Word("null"u8);
            default:
                return Unexpected("a value (an object, an array, a string in \", a number, true, false or null)");
        }
    }

    private bool IsWithin(int depth) =>
        depth < maxDepth
        || Fail($"objects and arrays are nested more than {maxDepth} deep; at most {maxDepth} levels are accepted.");

    private bool Object(int depth)
    {
        var first = keys.Count;
        HashSet<string>? many = null;
        at++;
        SkipBlanks();
        if (Next == '}')
        {
            at++;
            return true;
        }

        while (true)
        {
            var start = at;
            if (Next != '"')
            {
                return Next == '}' && first < keys.Count
                    ? Fail("found a comma before }; JSON has no comma after the last entry of an object.")
                    : Unexpected("a key in double quotes (\")");
            }

            if (!String() || IsTwice(start, first, ref many))
            {
                return false;
            }

            SkipBlanks();
            if (Next != ':')
            {
                return Unexpected("a colon (:) after the key");
            }

            at++;
            SkipBlanks();
            if (!Value(depth + 1))
            {
                return false;
            }

            SkipBlanks();
            if (Next == '}')
            {
                at++;
                keys.RemoveRange(first, keys.Count - first);
                return true;
            }

            if (Next != ',')
            {
                return Unexpected("a comma (,) or }");
            }

            at++;
            SkipBlanks();
        }
    }

    private bool Array(int depth)
    {
        at++;
        SkipBlanks();
        if (Next == ']')
        {
            at++;
            return true;
        }

        while (true)
        {
            if (!Value(depth + 1))
            {
                return false;
            }

            SkipBlanks();
            if (Next == ']')
            {
                at++;
                return true;
            }

            if (Next != ',')
            {
                return Unexpected("a comma (,) or ]");
            }

            at++;
            SkipBlanks();
            if (Next == ']')
            {
                return Fail("found a comma before ]; JSON has no comma after the last item of an array.");
            }
        }
    }

    // Most objects have few keys, which are compared as bytes; a large one gets a set, so that time stays linear.
    private bool IsTwice(int start, int first, ref HashSet<string>? many)
    {
        var key = (Start: start + 1, Length: at - start - 2);
        var found = false;
        if (keys.Count - first < FewKeys)
        {
            for (var i = first; i < keys.Count && !found; i++)
            {
                found = IsSame(keys[i], key);
            }
        }
        else
        {
            if (many is null)
            {
                many = new HashSet<string>(StringComparer.Ordinal);
                for (var i = first; i < keys.Count; i++)
                {
                    many.Add(Decoded(keys[i]));
                }
            }

            found = !many.Add(Decoded(key));
        }

        keys.Add(key);
        if (found)
        {
            at = start;
            Fail($"duplicate key '{Decoded(key)}' in one object. Remove one of them.");
        }

        return found;
    }

    private readonly bool IsSame((int Start, int Length) one, (int Start, int Length) other)
    {
        var left = text.Slice(one.Start, one.Length);
        var right = text.Slice(other.Start, other.Length);
        return left.SequenceEqual(right)
            || ((left.Contains((byte)'\\') || right.Contains((byte)'\\')) && Decoded(one) == Decoded(other));
    }

    private readonly string Decoded((int Start, int Length) key)
    {
        var bytes = text.Slice(key.Start, key.Length);
        if (!bytes.Contains((byte)'\\'))
        {
            return Encoding.UTF8.GetString(bytes);
        }

        var reader = new Utf8JsonReader(text.Slice(key.Start - 1, key.Length + 2));
        reader.Read();
        return reader.GetString()!;
    }

    private bool String()
    {
        var start = at++;
        while (true)
        {
            var length = text[at..].IndexOfAny(StringEnds);
            if (length < 0)
            {
                at = start;
                return Fail("the string that begins here has no closing \". Is the file complete?");
            }

            at += length;
            switch (text[at])
            {
                case (byte)'"':
                    at++;
                    return true;
                case (byte)'\\':
                    if (!Escape())
                    {
                        return false;
                    }

                    break;
                case (byte)'\n' or (byte)'\r':
                    return Fail("found a line break inside a string; write \\n there, or add the missing closing \".");
                case (byte)'\t':
                    return Fail("found a tab inside a string; write \\t there.");
                case var control:
                    return Fail($"found the control character {control} inside a string; write \\u{control:x4} there.");
            }
        }
    }

    private bool Escape()
    {
        if (at + 1 >= text.Length)
        {
            return Fail("the text ends after a backslash. Is the file complete?");
        }

        if (text[at + 1] != 'u')
        {
            if (!"\"\\/bfnrt"u8.Contains(text[at + 1]))
            {
                return Fail($"found \\{JsonFound.CharacterAt(text, at + 1)} in a string; write a backslash as \\\\.");
            }

            at += 2;
            return true;
        }

        if (!TryUnit(at, out var unit))
        {
            return Fail("found \\u without four hexadecimal digits in a string.");
        }

        var isHigh = char.IsHighSurrogate(unit);
        if (isHigh && TryUnit(at + 6, out var low) && char.IsLowSurrogate(low))
        {
            at += 12;
            return true;
        }

        if (isHigh || char.IsLowSurrogate(unit))
        {
            return Fail($"found \\u{(int)unit:x4}, an unpaired surrogate, in a string. Remove it.");
        }

        at += 6;
        return true;
    }

    private readonly bool TryUnit(int start, out char unit)
    {
        unit = '\0';
        if (start + 6 > text.Length || text[start] != '\\' || text[start + 1] != 'u')
        {
            return false;
        }

        var value = 0;
        foreach (var digit in text.Slice(start + 2, 4))
        {
            if (!char.IsAsciiHexDigit((char)digit))
            {
                return false;
            }

            value = (value * 16) + System.Convert.ToInt32(((char)digit).ToString(), 16);
        }

        unit = (char)value;
        return true;
    }

    private bool Number()
    {
        var start = at;
        if (Next == '-')
        {
            at++;
            if (Next is 'I')
            {
                at = start;
                return Unexpected("a number");
            }
        }

        if (Next == '0')
        {
            at++;
            if (Next is >= '0' and <= '9')
            {
                at = start;
                return Fail("found a number that begins with 0; write it without the 0, or in quotes.");
            }
        }
        else if (!Digits("a digit"))
        {
            return false;
        }

        if (Next == '.')
        {
            at++;
            if (!Digits("a digit after the point"))
            {
                return false;
            }
        }

        if (Next is 'e' or 'E')
        {
            at++;
            if (Next is '+' or '-')
            {
                at++;
            }

            if (!Digits("a digit in the exponent"))
            {
                return false;
            }
        }

        return true;
    }

    private bool Digits(string expected)
    {
        var start = at;
        while (Next is >= '0' and <= '9')
        {
            at++;
        }

        return at > start || Unexpected(expected);
    }

    private bool Word(ReadOnlySpan<byte> word)
    {
        if (!text[at..].StartsWith(word) || JsonFound.IsWordAt(text, at + word.Length))
        {
            return Unexpected("a value");
        }

        at += word.Length;
        return true;
    }

    private void SkipBlanks()
    {
        while (Next is ' ' or '\t' or '\r' or '\n')
        {
            at++;
        }
    }

    private bool Unexpected(string expected) =>
        at < text.Length
            ? Fail(JsonFound.Describe(text, at, expected))
            : Fail($"the text ends; expected {expected}. Is the file complete?");

    private bool Fail(string words)
    {
        fault = new JsonFault(at, words);
        return false;
    }
}
