using System.Runtime.InteropServices;
using System.Text;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Dispatch;

/// <summary>Any ATen operator, called by its schema through libtorch's dispatcher, including those that TorchSharp does
/// not wrap.</summary>
/// <remarks>Create one per operator and keep it: <c>static readonly AtenOperator Silu = new("aten::silu(Tensor self) ->
/// Tensor");</c>. The schema is libtorch's own text (<c>native_functions.yaml</c>); arguments are checked against it,
/// because libtorch itself would read invalid memory. Autograd works as usual. Thread-safe. The types <c>Scalar</c>,
/// <c>Generator</c> and <c>Layout</c> cannot be passed. Source: the C interface of PyTorch 2.10,
/// torch/csrc/stable/c/shim.h.</remarks>
internal sealed unsafe class AtenOperator
{
    // Newer releases may add parameters that default to None; the zeros after ours represent them.
    private const int Slack = 8;

    // What libtorch prints before the reason of a failed call.
    private const string Marker = "Exception in aoti_torch: ";

    // How often a call is repeated to read its reason alone.
    private const int Attempts = 8;

    private readonly OperatorSchema schema;
    private readonly byte[] name;
    private readonly byte[] overload;
    private readonly ReturnShape returns;
    private readonly bool changesArguments;

    /// <param name="schema">Such as <c>aten::name.overload(Tensor self, int dim=0, *, Tensor? out=None) -> (Tensor,
    /// Tensor)</c>.</param>
    /// <exception cref="ArgumentException">The schema cannot be parsed, or contains a type that cannot be passed or
    /// returned.</exception>
    public AtenOperator(string schema)
    {
        this.schema = OperatorSchema.Parse(schema);
        changesArguments = schema.Contains("!)", StringComparison.Ordinal);
        name = Encoding.UTF8.GetBytes(this.schema.Name + '\0');
        overload = Encoding.UTF8.GetBytes(this.schema.Overload + '\0');
        var kinds = this.schema.Returns.Select(value => value.Kind).ToArray();
        returns = ShapeOf(this.schema.Returns);
        if (!kinds.SequenceEqual(kinds.Reverse()))
        {
            // libtorch 2.10 to 2.11 converts the last returned value with the type of the first, and so on inwards.
            throw new ArgumentException(
                $"'{schema}': libtorch cannot return this list of types through its C interface; the list must read "
                    + "the same backwards.",
                nameof(schema)
            );
        }
    }

    /// <summary>Calls an operator that returns one tensor, which belongs to the caller's dispose scope.</summary>
    /// <exception cref="ArgumentException">An argument does not match the schema.</exception>
    /// <exception cref="AtenException">The operator failed; the message contains libtorch's reason.</exception>
    public Tensor Call(params ReadOnlySpan<Argument> arguments)
    {
        Require(ReturnShape.Tensor);
        var stack = stackalloc ulong[StackSize];
        Run(arguments, stack);
        return Tensor.UnsafeCreateTensor((nint)stack[0]);
    }

    /// <summary>Calls an operator that returns several tensors, or a list of them; they belong to the caller's dispose
    /// scope.</summary>
    /// <inheritdoc cref="Call" path="/exception"/>
    public Tensor[] CallMany(params ReadOnlySpan<Argument> arguments)
    {
        var stack = stackalloc ulong[StackSize];
        if (returns == ReturnShape.TensorList)
        {
            Run(arguments, stack);
            return TakeList((nint)stack[0]);
        }

        Require(ReturnShape.Tensors);
        Run(arguments, stack);
        var results = new Tensor[schema.Returns.Length];
        for (var i = 0; i < results.Length; i++)
        {
            results[i] = Tensor.UnsafeCreateTensor((nint)stack[i]);
        }

        return results;
    }

    /// <summary>Calls an operator that returns one integer.</summary>
    /// <inheritdoc cref="Call" path="/exception"/>
    public long CallInteger(params ReadOnlySpan<Argument> arguments)
    {
        Require(ReturnShape.Integer);
        var stack = stackalloc ulong[StackSize];
        Run(arguments, stack);
        return (long)stack[0];
    }

    /// <summary>Calls an in-place operator; a tensor that it also returns is released.</summary>
    /// <inheritdoc cref="Call" path="/exception"/>
    public void CallInPlace(params ReadOnlySpan<Argument> arguments)
    {
        if (returns == ReturnShape.Nothing)
        {
            var stack = stackalloc ulong[StackSize];
            Run(arguments, stack);
        }
        else
        {
            Call(arguments).Dispose();
        }
    }

    /// <inheritdoc/>
    public override string ToString() => schema.Overload.Length == 0 ? schema.Name : $"{schema.Name}.{schema.Overload}";

    private int StackSize => Math.Max(schema.Parameters.Length, schema.Returns.Length) + Slack;

    private static ReturnShape ShapeOf(Parameter[] returns) =>
        returns switch
        {
            [] => ReturnShape.Nothing,
            [{ Kind: ArgumentKind.Tensor }] => ReturnShape.Tensor,
            [{ Kind: ArgumentKind.Integer }] => ReturnShape.Integer,
            [{ Kind: ArgumentKind.List, Element: ArgumentKind.Tensor }] => ReturnShape.TensorList,
            _ => returns.All(value => value.Kind == ArgumentKind.Tensor) ? ReturnShape.Tensors : ReturnShape.Other,
        };

    private void Require(ReturnShape shape)
    {
        if (returns != shape)
        {
            throw new ArgumentException($"{this} returns {returns}, not {shape}; use the matching method.");
        }
    }

    private void Run(ReadOnlySpan<Argument> arguments, ulong* stack)
    {
        Check(arguments);
        NativeLog.Mute();
        var code = TryRun(arguments, stack);
        NativeLog.Unmute();
        if (code == 0)
        {
            return;
        }

        if (ReasonOfShapes(arguments) is not { } reason)
        {
            if (TryAgain(arguments, stack, out reason))
            {
                return;
            }
        }

        throw new AtenException($"{this} failed: {Reason(reason)} Arguments: {Describe(arguments)}.");
    }

    // Errors that the arguments do not cause, such as a lack of memory, are reported by repeating the call, unless the
    // operator writes to its arguments, which the first call may have done.
    private bool TryAgain(ReadOnlySpan<Argument> arguments, ulong* stack, out string? reason)
    {
        reason = null;
        for (var attempt = 0; attempt < Attempts && !changesArguments && !IsAlone(reason); attempt++)
        {
            using var capture = StandardErrorCapture.Start();
            if (capture is null)
            {
                return false;
            }

            if (TryRun(arguments, stack) == 0)
            {
                return true;
            }

            reason = capture.Take();
        }

        return false;
    }

    // Standard error is one for all threads: a second reason in it is that of another thread's call.
    private static bool IsAlone(string? captured) =>
        captured is not null
        && captured.IndexOf(Marker, StringComparison.Ordinal) == captured.LastIndexOf(Marker, StringComparison.Ordinal);

    // The interface returns only an error code and prints the reason. A call on tensors of the same types and shapes,
    // but without memory, fails for the same reason if types and shapes are the cause. Null: they are not, or the
    // reason cannot be read.
    private string? ReasonOfShapes(ReadOnlySpan<Argument> arguments)
    {
        using var scope = NewDisposeScope();
        var shapes = new Argument[arguments.Length];
        for (var i = 0; i < shapes.Length; i++)
        {
            shapes[i] = arguments[i].WithoutMemory();
        }

        string? reason = null;
        var stack = stackalloc ulong[StackSize];
        for (var attempt = 0; attempt < Attempts && !IsAlone(reason); attempt++)
        {
            using var capture = StandardErrorCapture.Start();
            if (capture is null)
            {
                return null;
            }

            if (TryRun(shapes, stack) == 0)
            {
                Release(stack);
                return null;
            }

            reason = capture.Take();
        }

        return reason;
    }

    private void Release(ulong* stack)
    {
        if (returns == ReturnShape.TensorList)
        {
            _ = TakeList((nint)stack[0]);
        }
        else if (returns is ReturnShape.Tensor or ReturnShape.Tensors)
        {
            for (var i = 0; i < schema.Returns.Length; i++)
            {
                _ = Tensor.UnsafeCreateTensor((nint)stack[i]);
            }
        }
    }

    private int TryRun(ReadOnlySpan<Argument> arguments, ulong* stack)
    {
        new Span<ulong>(stack, StackSize).Clear();
        for (var i = 0; i < schema.Parameters.Length; i++)
        {
            var parameter = schema.Parameters[i];
            stack[i] = Pack(parameter, i < arguments.Length ? arguments[i] : parameter.Default!.Value);
        }

        fixed (
            byte* namePointer = name,
                overloadPointer = overload
        )
        {
            return AtenShim.CallDispatcher(namePointer, overloadPointer, stack, AtenShim.SchemaVersion);
        }
    }

    private void Check(ReadOnlySpan<Argument> arguments)
    {
        if (arguments.Length > schema.Parameters.Length)
        {
            throw new ArgumentException(
                $"{this} takes {schema.Parameters.Length} arguments, found {arguments.Length}.",
                nameof(arguments)
            );
        }

        for (var i = 0; i < schema.Parameters.Length; i++)
        {
            var parameter = schema.Parameters[i];
            if (i >= arguments.Length)
            {
                if (parameter.Default is null)
                {
                    throw new ArgumentException($"{this}: argument '{parameter.Name}' is missing.", nameof(arguments));
                }
            }
            else if (!parameter.Accepts(arguments[i]))
            {
                throw new ArgumentException(
                    $"{this}: argument '{parameter.Name}' is {arguments[i].Describe()}; expected "
                        + $"{(parameter.Optional ? "None or " : "")}{parameter.Kind}.",
                    nameof(arguments)
                );
            }
        }
    }

    // The callee takes ownership of what is packed here.
    private static ulong Pack(Parameter parameter, in Argument argument)
    {
        if (!parameter.Optional)
        {
            return PackValue(parameter.Kind, argument);
        }

        if (argument.Kind == ArgumentKind.None)
        {
            return 0;
        }
        // libtorch frees it with C++'s delete, which is free() on all supported platforms.
        var box = (ulong*)NativeMemory.Alloc(sizeof(ulong));
        *box = PackValue(parameter.Kind, argument);
        return (ulong)box;
    }

    private static ulong PackValue(ArgumentKind kind, in Argument argument) =>
        kind switch
        {
            ArgumentKind.Tensor => PackTensor((Tensor?)argument.Reference),
            ArgumentKind.Text => PackText((string)argument.Reference!),
            ArgumentKind.List => PackList(argument.Reference!),
            ArgumentKind.Float when argument.Kind == ArgumentKind.Integer => BitConverter.DoubleToUInt64Bits(
                argument.Bits
            ),
            _ => (ulong)argument.Bits,
        };

    private static ulong PackTensor(Tensor? tensor)
    {
        nint handle;
        AtenShim.Check(
            tensor is null ? AtenShim.NewUndefinedTensor(&handle) : AtenShim.NewTensorHandle(tensor.Handle, &handle),
            "copy a tensor handle"
        );
        return (ulong)handle;
    }

    private static ulong PackText(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        nint handle;
        fixed (byte* pointer = bytes)
        {
            AtenShim.Check(AtenShim.NewString(pointer, (nuint)bytes.Length, &handle), "make a string");
        }

        return (ulong)handle;
    }

    private static ulong PackList(object values)
    {
        nint list;
        AtenShim.Check(AtenShim.NewList((nuint)((Array)values).Length, &list), "make a list");
        switch (values)
        {
            case Tensor[] tensors:
                foreach (var tensor in tensors)
                {
                    AtenShim.Check(AtenShim.ListPush(list, PackTensor(tensor)), "fill a list");
                }

                break;
            case long[] integers:
                foreach (var integer in integers)
                {
                    AtenShim.Check(AtenShim.ListPush(list, (ulong)integer), "fill a list");
                }

                break;
            case double[] floats:
                foreach (var number in floats)
                {
                    AtenShim.Check(AtenShim.ListPush(list, BitConverter.DoubleToUInt64Bits(number)), "fill a list");
                }

                break;
        }

        return (ulong)list;
    }

    private static Tensor[] TakeList(nint list)
    {
        nuint size;
        AtenShim.Check(AtenShim.ListSize(list, &size), "read a list");
        var tensors = new Tensor[size];
        for (nuint i = 0; i < size; i++)
        {
            ulong item;
            AtenShim.Check(AtenShim.ListItem(list, i, &item), "read a list");
            tensors[i] = Tensor.UnsafeCreateTensor((nint)item);
        }

        AtenShim.Check(AtenShim.DeleteList(list), "free a list");
        return tensors;
    }

    // Only the message, without the C++ stack trace after it.
    private static string Reason(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
        {
            return "libtorch gave no reason.";
        }

        var start = text.IndexOf(Marker, StringComparison.Ordinal);
        text = start < 0 ? text : text[(start + Marker.Length)..];
        foreach (var stack in (string[])["Exception raised from", "\nframe #"])
        {
            var end = text.IndexOf(stack, StringComparison.Ordinal);
            text = end < 0 ? text : text[..end];
        }

        return text.Trim();
    }

    private static string Describe(ReadOnlySpan<Argument> arguments)
    {
        var parts = new List<string>();
        foreach (var argument in arguments)
        {
            parts.Add(argument.Describe());
        }

        return string.Join("; ", parts);
    }

    private enum ReturnShape
    {
        Nothing,
        Tensor,
        Tensors,
        TensorList,
        Integer,
        Other,
    }
}

/// <summary>An ATen operator failed; the message contains libtorch's reason and the arguments.</summary>
internal sealed class AtenException(string message) : Exception(message);
