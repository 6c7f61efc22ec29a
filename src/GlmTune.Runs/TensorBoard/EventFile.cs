using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using GlmTune.Files;

namespace GlmTune.Runs.TensorBoard;

/// <summary>Writes scalars in TensorBoard's event format.</summary>
/// <remarks>A file is a sequence of records: the length (8 bytes, little endian), the masked CRC-32C of those bytes,
/// the data, and its masked CRC-32C. The data is a protocol buffer <c>Event</c>: <c>wall_time</c> (1, double),
/// <c>step</c> (2, varint), and <c>file_version</c> (3, string) or <c>summary</c> (5) with values (1) of <c>tag</c> (1,
/// string) and <c>simple_value</c> (2, float). Source: tensorflow/core/util/event.proto,
/// tensorflow/core/framework/summary.proto, and the TFRecord description. Not thread-safe.</remarks>
internal sealed class EventFile : IDisposable
{
    private readonly DiskFile file;
    private readonly TimeProvider clock;

    private EventFile(DiskFile file, TimeProvider clock) => (this.file, this.clock) = (file, clock);

    /// <summary>Path of the file.</summary>
    public string Path => file.Name;

    /// <summary>Starts a new file in a folder, which is created if missing.</summary>
    /// <param name="folder">The folder that TensorBoard's <c>--logdir</c> names, or one below it.</param>
    /// <param name="clock">The clock; null: the system's.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static EventFile Create(string folder, TimeProvider? clock = null)
    {
        clock ??= TimeProvider.System;
        Disk.CreateFolder(folder);
        for (var number = 0; ; number++)
        {
            var name =
                $"events.out.tfevents.{clock.GetUtcNow().ToUnixTimeSeconds()}.{Environment.MachineName}"
                + $".{Environment.ProcessId}.{number}";
            var path = System.IO.Path.Combine(folder, name);
            if (File.Exists(path))
            {
                continue;
            }

            var events = new EventFile(
                new DiskFile(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read | FileShare.Delete),
                clock
            );
            try
            {
                var version = events.Event(step: 0);
                version.Text(3, "brain.Event:2");
                events.Append(version);
                return events;
            }
            catch
            {
                events.Dispose();
                throw;
            }
        }
    }

    /// <summary>Appends one value for each of several curves.</summary>
    /// <param name="step">Steps done.</param>
    /// <param name="values">Values by tag, such as <c>train/loss</c>.</param>
    public void Scalars(long step, IEnumerable<KeyValuePair<string, double>> values)
    {
        var summary = new ProtocolBuffer();
        foreach (var (tag, value) in values)
        {
            var scalar = new ProtocolBuffer();
            scalar.Text(1, tag);
            scalar.Float(2, (float)value);
            summary.Message(1, scalar);
        }

        var entry = Event(step);
        entry.Message(5, summary);
        Append(entry);
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    /// <summary>The CRC-32C of some bytes, rotated and offset so that the CRC of data that contains CRCs stays
    /// meaningful.</summary>
    public static uint MaskedChecksum(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var value in bytes)
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return BitOperations.RotateRight(~crc, 15) + 0xa282ead8;
    }

    private ProtocolBuffer Event(long step)
    {
        var entry = new ProtocolBuffer();
        entry.Double(1, (clock.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds);
        entry.Whole(2, step);
        return entry;
    }

    // One write and flush per record, so that TensorBoard sees it at once.
    private void Append(ProtocolBuffer data)
    {
        var bytes = data.Bytes;
        var record = new byte[12 + bytes.Length + 4];
        BinaryPrimitives.WriteInt64LittleEndian(record, bytes.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(8), MaskedChecksum(record.AsSpan(0, 8)));
        bytes.CopyTo(record.AsSpan(12));
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(12 + bytes.Length), MaskedChecksum(bytes));
        file.Write(record);
    }

    /// <summary>Encodes the few protocol buffer field types that events use.</summary>
    private sealed class ProtocolBuffer
    {
        private const int Varint = 0,
            Fixed64 = 1,
            Delimited = 2,
            Fixed32 = 5;
        private readonly List<byte> bytes = [];

        public ReadOnlySpan<byte> Bytes => bytes.ToArray();

        public void Whole(int field, long value)
        {
            Key(field, Varint);
            Number((ulong)value);
        }

        public void Double(int field, double value)
        {
            Key(field, Fixed64);
            var buffer = new byte[8];
            BinaryPrimitives.WriteDoubleLittleEndian(buffer, value);
            bytes.AddRange(buffer);
        }

        public void Float(int field, float value)
        {
            Key(field, Fixed32);
            var buffer = new byte[4];
            BinaryPrimitives.WriteSingleLittleEndian(buffer, value);
            bytes.AddRange(buffer);
        }

        public void Text(int field, string value) => Block(field, Encoding.UTF8.GetBytes(value));

        public void Message(int field, ProtocolBuffer value) => Block(field, value.Bytes);

        private void Block(int field, ReadOnlySpan<byte> value)
        {
            Key(field, Delimited);
            Number((ulong)value.Length);
            bytes.AddRange(value);
        }

        private void Key(int field, int kind) => Number((ulong)((field << 3) | kind));

        private void Number(ulong value)
        {
            while (value >= 0x80)
            {
                bytes.Add((byte)(value | 0x80));
                value >>= 7;
            }

            bytes.Add((byte)value);
        }
    }
}
