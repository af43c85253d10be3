using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

internal sealed class FakeDnode(int number) : TxHoldable
{
    public override string HoldName => $"dnode {number}";
}
