using Xunit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX cases on ext4, the reference: a case that fails here is wrong.</summary>
[Collection("Mount")]
public sealed class Ext4PosixTests(Ext4PosixTests.LoopMount mount) : IClassFixture<Ext4PosixTests.LoopMount>
{
    /// <summary>The cases.</summary>
    public static TheoryData<string> Cases => PosixRows.For(FileSystemKind.Ext4, PosixNeeds.Root | PosixNeeds.MountPoint | PosixNeeds.Remount | PosixNeeds.Small);

    [Ext4Theory]
    [MemberData(nameof(Cases))]
    public void Posix(string name) => PosixRows.Run(name, mount.Target);

    /// <summary>A new ext4 in a file, mounted.</summary>
    public sealed class LoopMount : IDisposable
    {
        private readonly CliRunDirectory _dir = new();
        private readonly string _path;
        private PosixTarget? _target;

        /// <summary>Makes and mounts it, where that is possible.</summary>
        public LoopMount()
        {
            _path = Directory.CreateDirectory(_dir.File("mnt")).FullName;
            if (Ext4TheoryAttribute.Reason() is null)
            {
                Run($"truncate -s 256M {_dir.File("image")} && PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F -b 4096 -I 256 -O ea_inode {_dir.File("image")}");
                Mount();
            }
        }

        internal PosixTarget Target => _target ??= new PosixTarget(_path, () =>
        {
            Run($"umount {_path}");
            Mount();
        });

        /// <inheritdoc/>
        public void Dispose()
        {
            if (Ext4TheoryAttribute.Reason() is null)
            {
                Run($"umount {_path} || umount -l {_path}");
            }

            _dir.Dispose();
        }

        private void Mount() => Run($"mount -o loop {_dir.File("image")} {_path}");

        private void Run(string command)
        {
            CliResult result = _dir.Start("sh", ["-c", command]);
            if (result.ExitCode != 0)
            {
                throw new InvalidOperationException($"{command}: exit {result.ExitCode}: {result.Error}");
            }
        }
    }
}
