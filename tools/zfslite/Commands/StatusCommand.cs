using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite status [POOL|DIR|DEVICE…]</summary>
internal static class StatusCommand
{
    private static readonly TableColumn<StatusInfo>[] s_fields =
    [
        new("pool", s => s.Pool),
        new("guid", s => s.Guid),
        new("state", s => s.State),
        new("suspended", s => s.Suspended ?? ""),
        new("read-only", s => s.ReadOnly ?? ""),
        new("version", s => s.Version.ToString()),
        new("devices", s => string.Join(' ', s.Devices)),
        new("log devices", s => string.Join(' ', s.LogDevices)),
        new("mounted on", s => s.MountPoint ?? ""),
        new("dataset", s => s.Dataset ?? ""),
        new("options", s => s.Options ?? ""),
        new("daemon", s => s.Pid == 0 ? "" : $"process {s.Pid}"),
        new("synced txg", s => s.Txg.ToString()),
        new("space", s => $"{ByteSize.Format(s.Allocated)} of {ByteSize.Format(s.Size)} used, {ByteSize.Format(s.Free)} free"),
        new("dirty", s => s.Pid == 0 ? "" : ByteSize.Format(s.Dirty)),
        new("I/O errors", s => s.Pid == 0 ? "" : s.IoErrors.ToString()),
        new("checksum errors", s => s.ChecksumErrors.ToString()),
        new("intent log", s => s.Log is not { } l ? "" : $"sync={l.Sync}; {l.Commits} commits in {l.Batches} batches, {l.Records} records, {ByteSize.Format(l.BytesWritten)}; {l.Synced} waited for a txg; {l.Replayed} records replayed"),
        new("memory", s => s.Arena == 0 || s.Pid == 0 ? "" : $"arena {ByteSize.Format(s.Arena)}, policy {s.Policy}, slab engine {s.SlabEngine}"),
        new("warning", s => string.Join("; ", s.Warnings)),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("status", "Shows the state of mounted pools, or of a pool by its device.");
        Argument<string[]> targets = CommonOptions.Targets("Pool, mount point or device; none: every mounted pool.");
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(targets);
        command.Options.Add(json);
        command.SetAction(parsed => Run(io, parsed.GetValue(targets) ?? [], parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string[] targets, bool json)
    {
        List<StatusInfo> all = targets.Length == 0
            ? [.. ControlClient.All().Select(AskMounted)]
            : [.. Mounted.AskEach(targets, AskMounted, static p => p.Status())];
        if (json)
        {
            io.Rows(all, json, ControlJson.Default.ListStatusInfo, []);
            return ExitCode.Ok;
        }

        if (all.Count == 0)
        {
            io.Out.WriteLine("no pool is mounted");
        }

        for (int i = 0; i < all.Count; i++)
        {
            if (i > 0)
            {
                io.Out.WriteLine();
            }

            io.Record(all[i], false, ControlJson.Default.StatusInfo, s_fields);
        }

        return ExitCode.Ok;
    }

    private static StatusInfo AskMounted(ControlClient client) =>
        client.Ask(new ControlRequest { Command = "status" }, ControlJson.Default.StatusInfo);
}
