using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>Without root: a pool of one's own, mounted through fusermount3.</summary>
public sealed class OrdinaryUserTests : IDisposable
{
    private const string Script = """
        set -euo pipefail
        step() { at=$1; }
        refused() { if "$@" > /dev/null 2>&1; then return 1; fi; }
        trap '[ $? = 0 ] || echo "failed at: $at" >&2; as fusermount3 -u -z "$DIR/u/mnt" 2> /dev/null || true' EXIT
        if [ "$(id -u)" = 0 ]; then
            step 'the namespace'
            mount -t tmpfs -o mode=755 none "$DIR/sys"
            mknod -m 666 "$DIR/sys/fuse" c 10 229
            mount --bind "$DIR/sys/fuse" /dev/fuse
            mkdir "$DIR/sys/app" "$DIR/sys/dotnet"
            mount --bind "$APP" "$DIR/sys/app"
            mount --bind "$DOTNET_ROOT" "$DIR/sys/dotnet"
            chmod 711 "$DIR"
            chown 65534:65534 "$DIR/u" "$DIR/u/run" "$DIR/u/mnt"
            me=65534
            as() { setpriv --reuid 65534 --regid 65534 --clear-groups env -i "PATH=$PATH" "HOME=$DIR/u" "XDG_RUNTIME_DIR=$DIR/u/run" "DOTNET_ROOT=$DIR/sys/dotnet" DOTNET_gcServer=0 "$@"; }
            zfslite=$DIR/sys/app/zfslite
        else
            me=$(id -u)
            as() { env "XDG_RUNTIME_DIR=$DIR/u/run" "$@"; }
            zfslite=$APP/zfslite
        fi
        cd "$DIR/u"
        step 'who it is'; [ "$(as id -u)" = "$me" ]
        step create; as "$zfslite" create tank p.img --size 128M
        step mount; as "$zfslite" mount p.img mnt --memory 32M --background
        step 'the root directory'; [ "$(as stat -c %u mnt)" = "$me" ]
        step write; as sh -c 'head -c 3000000 /dev/urandom > mnt/f; mkdir mnt/d; cp mnt/f mnt/d/g; ln -s f mnt/l; sha256sum < mnt/f > sum'
        step 'the owner of a file'; [ "$(as stat -c %u mnt/d/g)" = "$me" ]
        step 'a change of owner'; refused as chown 0 mnt/f
        if [ "$me" = 65534 ]; then step 'others are kept out'; refused ls mnt; fi
        step read; [ "$(as sh -c 'sha256sum < mnt/d/g')" = "$(cat sum)" ]
        step status; as "$zfslite" status mnt | grep -q tank
        step sync; as "$zfslite" sync tank
        step unmount; as "$zfslite" unmount mnt; refused grep " $DIR/u/mnt " /proc/self/mounts
        step check; as "$zfslite" check p.img
        step 'mount again'; as "$zfslite" mount p.img mnt --memory 32M --background -o ro
        step 'read again'; [ "$(as sh -c 'sha256sum < mnt/l')" = "$(cat sum)" ]
        step 'a plain fusermount3 -u'; as fusermount3 -u mnt
        step 'the daemon ends'; for i in $(seq 200); do as "$zfslite" check p.img > /dev/null 2>&1 && exit 0; sleep 0.05; done; exit 1
        """;

    private readonly CliRunDirectory _files = new();

    public void Dispose() => _files.Dispose();

    [OrdinaryUserFact]
    public void A_user_makes_mounts_fills_unmounts_and_checks_a_pool()
    {
        foreach (string dir in (string[])["u", "u/run", "u/mnt", "sys"])
        {
            Directory.CreateDirectory(_files.File(dir));
        }

        string dotnet = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));
        string[] settings = [$"DIR={_files.Root}", $"APP={AppContext.BaseDirectory.TrimEnd('/')}", $"DOTNET_ROOT={dotnet}"];
        string[] run = OrdinaryUserFactAttribute.IsRoot ? ["unshare", "-m", "--propagation", "private", "bash", "-c", Script] : ["bash", "-c", Script];
        CliResult result = _files.Start("env", [.. settings, .. run], secondsMax: 120);
        Assert.True(result.ExitCode == 0, $"exit code {result.ExitCode}: {result.Error}{result.Output}");
        Assert.Contains("pool tank is clean", result.Output, StringComparison.Ordinal);
    }
}
