using ZfsLite.Cli;
using ZfsLite.Kmem;

namespace ZfsLite.Tests.Mount;

/// <summary>Stands for an open pool behind a control socket: fixed answers, and a record of what was asked.</summary>
internal sealed class ControlFakePool : IPoolCommands
{
    internal HelloInfo Identity { get; } = new() { Pool = "tank", Dataset = "tank", Pid = int.MaxValue };

    internal List<string> Calls { get; } = [];

    internal Exception? Failure { get; set; }

    internal Action? OnUnmount { get; set; }

    public HelloInfo Hello() => Identity;

    public StatusInfo Status() => new() { Pool = "tank", State = "mounted", Warnings = { "locked memory refused" } };

    public List<DatasetRow> List() =>
    [
        new() { Name = "tank", Type = "filesystem", Used = 5 << 20, Available = 1 << 30, Referenced = 1 << 20, MountPoint = Identity.MountPoint },
        new() { Name = "tank/fs", Type = "filesystem", Used = 1572864, Available = 1 << 30, Referenced = 1 << 20 },
        new() { Name = "tank/fs@s", Type = "snapshot", Used = 512, Referenced = 1 << 20 },
    ];

    public List<PropertyRow> Get(string? dataset, IReadOnlyList<string> names) =>
        [new() { Dataset = dataset ?? "tank", Property = "atime", Value = "on", Source = "default" }];

    public void Set(string? dataset, IReadOnlyDictionary<string, string> values) =>
        Call($"set {dataset} {string.Join(' ', values.OrderBy(v => v.Key, StringComparer.Ordinal).Select(v => $"{v.Key}={v.Value}"))}");

    public void AddLog(IReadOnlyList<string> devices) => Call($"add_log {string.Join(' ', devices)}");

    public void RemoveLog(string device) => Call($"remove_log {device}");

    public KmemInfo Kmem() => new()
    {
        Arena = 64 << 20,
        Policy = "fstrans",
        Counters = { ["reclaim_turned_away"] = 7 },
        Caches = [new() { Cache = "dnode_t", ObjectSize = 512, Active = 3, Objects = 8, Slabs = 1, Bytes = 4096 }],
    };

    public List<KmemLeak> KmemLeaks() =>
        [new KmemLeak { Cache = "dnode_t", Site = "Spa.TakeDnode", Count = 2, Bytes = 1024, OldestNs = 5, OldestThread = 7 }];

    public List<KmemSlabLine> KmemSlab() =>
    [
        new() { Cache = "dnode_t", Flags = 0x80, Alloc = 1536, ObjectSize = 512, ObjectAlloc = 3 },
        new()
        {
            Cache = "zio_buf_131072", Flags = 0x40, Size = 2 << 20, Alloc = 131072, SlabSize = 1 << 20, ObjectSize = 131072, SlabTotal = 2,
            SlabAlloc = 1, SlabMax = 7, ObjectTotal = 14, ObjectAlloc = 1, ObjectMax = 40, EmergencyDeadlock = 5, EmergencyAlloc = 0, EmergencyMax = 6,
        },
    ];

    public List<KmemTunableRow> KmemGet(string cache, IReadOnlyList<string> names) =>
        [new() { Cache = cache, Attribute = names.Count > 0 ? names[0] : "batch_size", Value = "60", Writable = true }];

    public void KmemSet(string cache, IReadOnlyDictionary<string, string> values) =>
        Call($"kmem_set {cache} {string.Join(' ', values.Select(v => $"{v.Key}={v.Value}"))}");

    public List<TxgRow> Txgs() => [new() { Txg = 4, State = "committed", DirtyBytes = 1 << 20, OpenMs = 5000, SyncMs = 12.5 }];

    public void Sync() => Call("sync");

    public void Clear() => Call("clear");

    public void Remount(MountOptions options) => Call($"remount {options}");

    public void Unmount()
    {
        Call("unmount");
        OnUnmount?.Invoke();
    }

    private void Call(string what)
    {
        if (Failure is not null)
        {
            throw Failure;
        }

        Calls.Add(what);
    }
}
