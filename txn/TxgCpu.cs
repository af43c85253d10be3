using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// The holds of one virtual CPU (tx_cpu_t). Transactions of different CPUs touch different locks; only opening a new txg
/// takes them all.
/// </summary>
internal sealed class TxgCpu
{
    /// <summary>tc_open_lock: while it is held, the open txg does not change. Held from the choice of a txg to the end of Assign.</summary>
    internal readonly Kmutex OpenLock;

    /// <summary>tc_lock: guards the counts and marks below. Taken under OpenLock; nothing is taken under it.</summary>
    internal readonly Kmutex Lock = new("tc_lock");

    /// <summary>tc_count: assigned transactions by txg.</summary>
    internal readonly int[] Count = new int[TxgEngine.TxgSize];

    /// <summary>tc_cv: the count of a txg fell to 0.</summary>
    internal readonly Kcondvar[] Drained = new Kcondvar[TxgEngine.TxgSize];

    /// <summary>1 if a transaction of the txg has ended here: the txg has something to write.</summary>
    internal readonly int[] Touched = new int[TxgEngine.TxgSize];

    internal TxgCpu(int cpu)
    {
        // A class of its own each: the quiesce thread takes all of them, by CPU number.
        OpenLock = new Kmutex($"tc_open_lock[{cpu}]");
        for (int i = 0; i < Drained.Length; i++)
        {
            Drained[i] = new Kcondvar("tc_cv");
        }
    }
}
