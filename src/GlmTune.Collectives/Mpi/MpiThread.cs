using System.Collections.Concurrent;
using System.Diagnostics;
using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>The only thread that calls MPI: it carries out the rank's calls in order, concurrently with the
/// computation.</summary>
/// <remarks>MPI moves data only while it is being called, so this thread polls each request until it is done:
/// continuously while the computation waits for it, otherwise with short sleeps that leave the processor to the
/// computation. If ranks are lost, it reports this and ends the run.</remarks>
internal sealed class MpiThread
{
    private static readonly TimeSpan IdleTest = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan Eager = TimeSpan.FromMilliseconds(100);
    private static int started;

    private readonly BlockingCollection<MpiPending> queue = [];
    private readonly TaskCompletionSource<(int Rank, int Size)> world = new(
        TaskCreationOptions.RunContinuationsAsynchronously
    );
    private readonly CollectivesOptions options;
    private readonly Thread thread;
    private volatile int abortCode = -1;
    private int rank;
    private int size;

    public MpiThread(CollectivesOptions options)
    {
        if (Interlocked.Exchange(ref started, 1) == 1)
        {
            throw new InvalidOperationException("MPI can be initialized only once per process, and already has been.");
        }

        this.options = options;
        thread = new Thread(Main) { IsBackground = true, Name = "MPI" };
        thread.Start();
        (rank, size) = world.Task.GetAwaiter().GetResult();
    }

    public int Rank => rank;

    public int Size => size;

    public void Enqueue(MpiPending work) => queue.Add(work);

    /// <summary>Finalizes MPI after the calls made so far, and returns when that is done.</summary>
    public void Finish()
    {
        queue.CompleteAdding();
        thread.Join();
    }

    /// <summary>Ends the processes of all ranks; does not return.</summary>
    public void Abort(int code)
    {
        abortCode = code;
        thread.Join(TimeSpan.FromSeconds(5));
        HostProcess.ExitNow(code);
    }

    /// <summary>Called on this thread: polls <paramref name="request"/> until it is done or the call's time limit is
    /// reached.</summary>
    public void Complete(nint request, MpiPending work)
    {
        var from = Stopwatch.GetTimestamp();
        var library = MpiLibrary.Current;
        while (true)
        {
            MpiNative.Check(MpiNative.Test(ref request, out var done, library.StatusIgnore), "MPI_Test");
            if (done != 0)
            {
                return;
            }

            AbortIfAsked();
            var call = work.Operation.Call;
            if (Stopwatch.GetElapsedTime(work.Operation.Started) > options.Timeout)
            {
                throw new LostRankException(LostRankException.NotFinished(rank, size, call, options.Timeout));
            }

            if (work.IsAwaited && Stopwatch.GetElapsedTime(from) < Eager)
            {
                Thread.Yield();
            }
            else
            {
                HostProcess.ShortSleep();
            }
        }
    }

    private void Main()
    {
        try
        {
            Initialize();
        }
        catch (Exception error)
        {
            world.SetException(error);
            return;
        }

        world.SetResult((rank, size));
        MpiPending? current = null;
        try
        {
            while (!queue.IsCompleted)
            {
                if (queue.TryTake(out current, IdleTest))
                {
                    current.Perform(this);
                    current = null;
                }
                else
                {
                    MpiNative.Check(
                        MpiNative.Probe(rank, 0, MpiLibrary.Current.CommWorld, out _, MpiLibrary.Current.StatusIgnore),
                        "MPI_Iprobe"
                    );
                }

                AbortIfAsked();
            }

            MpiNative.Check(MpiNative.FinalizeMpi(), "MPI_Finalize");
        }
        catch (Exception error)
        {
            var call = current?.Operation.Call;
            Console.Error.WriteLine(
                error switch
                {
                    LostRankException => error.Message,
                    IOException =>
                        $"{LostRankException.Where(rank, size, call)}: {call?.Operation}: {error.Message}. A rank or "
                            + "the network is lost.",
                    _ => $"{LostRankException.Where(rank, size, call)}: {error}",
                }
            );
            AbortAll(error is LostRankException or IOException ? LostRankException.ExitCode : 1);
        }
    }

    private void Initialize()
    {
        var library = MpiLibrary.Current;
        MpiNative.Check(MpiNative.InitThread(0, 0, MpiNative.ThreadFunneled, out var provided), "MPI_Init_thread");
        if (provided < MpiNative.ThreadFunneled)
        {
            throw new NotSupportedException(
                $"{library.Name} was built without thread support; MPI_THREAD_FUNNELED or higher is required."
            );
        }

        MpiNative.Check(
            MpiNative.CommSetErrorHandler(library.CommWorld, library.ErrorsReturn),
            "MPI_Comm_set_errhandler"
        );
        MpiNative.Check(MpiNative.CommRank(library.CommWorld, out rank), "MPI_Comm_rank");
        MpiNative.Check(MpiNative.CommSize(library.CommWorld, out size), "MPI_Comm_size");
    }

    private void AbortIfAsked()
    {
        if (abortCode >= 0)
        {
            AbortAll(abortCode);
        }
    }

    private static void AbortAll(int code)
    {
        _ = MpiNative.Abort(MpiLibrary.Current.CommWorld, code);
        HostProcess.ExitNow(code);
    }
}
