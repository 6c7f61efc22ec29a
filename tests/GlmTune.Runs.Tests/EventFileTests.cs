using System.Buffers.Binary;
using System.Text;
using GlmTune.Runs.TensorBoard;

namespace GlmTune.Runs.Tests;

/// <summary>Event files, read by a reader that is written from the format's description alone.</summary>
public sealed class EventFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    [Fact]
    public void What_is_written_is_what_an_independent_reader_finds()
    {
        string path;
        using (var events = EventFile.Create(folder.Path))
        {
            path = events.Path;
            events.Scalars(10, [KeyValuePair.Create("train/loss", 2.5), KeyValuePair.Create("eval/rouge-l", 31.25)]);
            events.Scalars(300, [KeyValuePair.Create("train/learning_rate", 5e-5)]);
        }

        Assert.StartsWith("events.out.tfevents.", Path.GetFileName(path), StringComparison.Ordinal);
        var records = Records(File.ReadAllBytes(path)).Select(Fields).ToList();
        Assert.Equal(3, records.Count);
        Assert.Equal("brain.Event:2", Text(records[0], 3));
        Assert.All(
            records,
            record =>
                Assert.Equal(
                    DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
                    BitConverter.Int64BitsToDouble((long)record.Single(field => field.Number == 1).Whole),
                    120.0
                )
        );
        Assert.Equal([0UL, 10UL, 300UL], records.Select(record => record.Single(field => field.Number == 2).Whole));
        Assert.Equal([("train/loss", 2.5f), ("eval/rouge-l", 31.25f)], Scalars(records[1]));
        Assert.Equal([("train/learning_rate", 5e-5f)], Scalars(records[2]));
    }

    [Fact]
    public void Two_files_of_one_moment_have_two_names()
    {
        using var first = EventFile.Create(folder.Path);
        using var second = EventFile.Create(folder.Path);
        Assert.NotEqual(first.Path, second.Path);
    }

    [Fact]
    public void A_file_that_cannot_be_begun_is_closed()
    {
        Assert.Throws<InvalidOperationException>(() => EventFile.Create(folder.Path, new StoppedClock()));
        var path = Assert.Single(Directory.GetFiles(folder.Path));
        using var alone = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
    }

    // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and rising.
    [Theory, InlineData(0, 0x00, 0x8a9136aau), InlineData(0, 0xff, 0x62a8ab43u), InlineData(1, 0x00, 0x46dd794eu)]
    public void The_checksum_agrees_with_the_rfcs_examples(int slope, int start, uint crc)
    {
        var bytes = Enumerable.Range(0, 32).Select(i => (byte)(start + (slope * i))).ToArray();
        Assert.Equal(crc, Crc32C(bytes));
        Assert.Equal(Mask(crc), EventFile.MaskedChecksum(bytes));
    }

    public void Dispose() => folder.Dispose();

    private static IEnumerable<byte[]> Records(byte[] file)
    {
        for (var at = 0; at < file.Length;)
        {
            var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at));
            Assert.Equal(
                Mask(Crc32C(file[at..(at + 8)])),
                BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 8))
            );
            var data = file[(at + 12)..(at + 12 + length)];
            Assert.Equal(Mask(Crc32C(data)), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 12 + length)));
            yield return data;
            at += 16 + length;
        }
    }

    private static List<Field> Fields(byte[] message)
    {
        var fields = new List<Field>();
        for (var at = 0; at < message.Length;)
        {
            var key = Varint(message, ref at);
            var number = (int)(key >> 3);
            switch (key & 7)
            {
                case 0:
                    fields.Add(new Field(number, Varint(message, ref at), []));
                    break;
                case 1:
                    fields.Add(new Field(number, BinaryPrimitives.ReadUInt64LittleEndian(message.AsSpan(at)), []));
                    at += 8;
                    break;
                case 2:
                    var length = (int)Varint(message, ref at);
                    fields.Add(new Field(number, 0, message[at..(at + length)]));
                    at += length;
                    break;
                default:
                    Assert.Equal(5UL, key & 7);
                    fields.Add(new Field(number, BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(at)), []));
                    at += 4;
                    break;
            }
        }

        return fields;
    }

    private static ulong Varint(byte[] bytes, ref int at)
    {
        var value = 0UL;
        for (var shift = 0; ; shift += 7)
        {
            var next = bytes[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }

    private static string Text(List<Field> fields, int number) =>
        Encoding.UTF8.GetString(fields.Single(field => field.Number == number).Bytes);

    private static IEnumerable<(string, float)> Scalars(List<Field> record) =>
        Fields(record.Single(field => field.Number == 5).Bytes)
            .Select(value => Fields(value.Bytes))
            .Select(value =>
                (Text(value, 1), BitConverter.UInt32BitsToSingle((uint)value.Single(field => field.Number == 2).Whole))
            );

    private static uint Mask(uint crc) => ((crc >> 15) | (crc << 17)) + 0xa282ead8u;

    // Bit by bit, with the reversed polynomial of Castagnoli.
    private static uint Crc32C(byte[] bytes)
    {
        var crc = uint.MaxValue;
        foreach (var value in bytes)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
            }
        }

        return ~crc;
    }

    private sealed record Field(int Number, ulong Whole, byte[] Bytes);

    // Names the file, and then fails.
    private sealed class StoppedClock : TimeProvider
    {
        private int calls;

        public override DateTimeOffset GetUtcNow() =>
            calls++ == 0 ? DateTimeOffset.UnixEpoch : throw new InvalidOperationException("the clock stopped");
    }
}
