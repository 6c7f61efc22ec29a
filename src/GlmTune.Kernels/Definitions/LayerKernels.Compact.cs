using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

internal abstract partial class LayerKernels
{
    /// <summary>One AdamW update of a flat run, in place, with moments of fewer bytes or with weights that have no copy
    /// in full precision.</summary>
    /// <param name="weights">[n]: float32, or bfloat16, which is rounded stochastically.</param>
    /// <param name="gradient">[n], as the weights; read as <c>gradient · gradientScale</c>.</param>
    /// <param name="moments">float32; bfloat16, rounded stochastically (to nearest, a decay of 0.999 would change
    /// nothing); or codes, the nearest ones.</param>
    /// <param name="gradientScale">Scalar on the device, float32, [].</param>
    /// <param name="settings">The numbers of this step.</param>
    /// <param name="rounding">The random numbers.</param>
    /// <remarks>Arithmetic is in float32, and only results are rounded. Sources: Loshchilov and Hutter,
    /// arXiv:1711.05101, algorithm 2; see also <see cref="Rounding"/> and <see cref="BlockCodes"/>.</remarks>
    public virtual void CompactAdamW(
        Tensor weights,
        Tensor gradient,
        Moments moments,
        Tensor gradientScale,
        in AdamWStep settings,
        in Rounding rounding
    ) => CompactUpdate.AdamW(weights, gradient, moments, gradientScale, settings, rounding);

    /// <summary>sum ← sum + addend, rounded stochastically, so that many small addends are not lost.</summary>
    /// <param name="sum">bfloat16 [n].</param>
    /// <param name="addend">[n]: bfloat16 or float32.</param>
    /// <param name="rounding">The random numbers.</param>
    public virtual void Accumulate(Tensor sum, Tensor addend, in Rounding rounding) =>
        CompactUpdate.Accumulate(sum, addend, rounding);
}
