using System.Buffers.Binary;

namespace ZfsLite.Fs;

/// <summary>Reads all space maps into a bitmap, and checks each in itself: entries in range, nothing allocated or freed twice, the sum.</summary>
internal static class SpaceMapCheck
{
    internal static void Load(CheckContext ctx)
    {
        foreach (Vdev? vdev in ctx.Pool.Vdevs)
        {
            if (vdev is null)
            {
                continue;
            }

            try
            {
                LoadVdev(ctx, vdev);
            }
            catch (ZfsException e)
            {
                ctx.Error("MOS", vdev.MetaslabArray, $"space maps of vdev {vdev.Id}: {e.Message}");
            }
        }
    }

    private static void LoadVdev(CheckContext ctx, Vdev vdev)
    {
        OfflineObjset mos = ctx.Pool.Mos;
        OfflineDnode array = mos.ReadDnode(vdev.MetaslabArray);
        ulong listed = (array.Phys.MaxBlockId + 1) * (ulong)array.Phys.DataBlockSize / 8;
        for (int i = 0; i < vdev.MetaslabCount && (ulong)i < listed; i++)
        {
            ulong obj = mos.ReadUInt64(array, (ulong)i * 8);
            if (obj == 0)
            {
                continue;
            }

            try
            {
                LoadOne(ctx, vdev, i, mos.ReadDnode(obj));
            }
            catch (ZfsException e)
            {
                ctx.Error("MOS", obj, $"space map of metaslab {i} of vdev {vdev.Id}: {e.Message}");
            }
        }
    }

    private static void LoadOne(CheckContext ctx, Vdev vdev, int metaslab, OfflineDnode dn)
    {
        SpaceMapPhys phys = dn.BonusAs<SpaceMapPhys>(DmuOt.SpaceMapHeader);
        ulong blockSize = (ulong)dn.Phys.DataBlockSize;
        if (phys.ObjSize % 8 != 0 || phys.ObjSize > (dn.Phys.MaxBlockId + 1) * blockSize || phys.Object != dn.Object)
        {
            ctx.Error("MOS", dn.Object, $"space map header: object {phys.Object}, {phys.ObjSize} bytes of entries");
            return;
        }

        ulong start = (ulong)metaslab << vdev.MetaslabShift;
        ulong units = 1UL << (vdev.MetaslabShift - vdev.Ashift);
        ulong allocated = 0;
        var block = new byte[blockSize];
        for (ulong at = 0; at < phys.ObjSize; at += 8)
        {
            if (at % blockSize == 0)
            {
                ctx.Pool.Mos.ReadDataBlock(dn, at / blockSize, block);
            }

            ulong entry = BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan((int)(at % blockSize)));
            if (SpaceMapPhys.IsDebug(entry))
            {
                continue;
            }

            ulong offset = SpaceMapPhys.OffsetOf(entry), run = (ulong)SpaceMapPhys.RunOf(entry);
            if (offset > units || run > units - offset)
            {
                ctx.Error("MOS", dn.Object, $"space map entry {at / 8} leaves metaslab {metaslab}: unit {offset}, {run} units");
                continue;
            }

            ulong from = start + (offset << vdev.Ashift), length = run << vdev.Ashift;
            bool alloc = SpaceMapPhys.IsAlloc(entry);
            ulong were = alloc ? ctx.Allocated.Add(vdev.Id, from, length) : ctx.Allocated.Remove(vdev.Id, from, length);
            if (were != (alloc ? 0 : length))
            {
                ctx.Error("MOS", dn.Object, alloc
                    ? $"space map entry {at / 8} allocates {were} bytes at {vdev.Id}:{from:x} that are allocated already"
                    : $"space map entry {at / 8} frees {length - were} bytes at {vdev.Id}:{from:x} that are free already");
            }

            allocated = alloc ? allocated + length - were : allocated - were;
        }

        ctx.Compare("MOS", dn.Object, $"allocated bytes of metaslab {metaslab} of vdev {vdev.Id}", phys.Alloc, allocated);
        ctx.Result.AllocatedBytes += allocated;
    }
}
