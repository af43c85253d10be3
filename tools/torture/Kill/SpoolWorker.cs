using System.Globalization;

namespace ZfsLite.Torture;

/// <summary>
/// Works as a mail system does, in a directory of its own: creates a file, writes it, fsyncs it, renames it into place (at times over another), fsyncs the directory; removes
/// old ones. Its journal lives here, in a process that is not killed: of each mail it knows what was acknowledged and what was under way.
/// </summary>
internal sealed class SpoolWorker
{
    private const int MailsMax = 60;
    private const int LengthMax = 60_000;

    private readonly string _directory;
    private readonly Random _random;
    private readonly bool _ackEarly;
    private readonly byte[] _buffer = new byte[LengthMax];
    private readonly List<SpoolMail> _mails = [];
    private readonly int _id;
    private int _numbers;

    internal SpoolWorker(int id, ulong seed, string mount, bool ackEarly)
    {
        _id = id;
        _directory = Path.Combine(mount, $"spool{id}");
        _random = new Random((int)(seed * 31) + id);
        _ackEarly = ackEarly;
    }

    /// <summary>Operations that were acknowledged.</summary>
    internal long Acknowledged { get; private set; }

    /// <summary>Makes the directory, before the first kill.</summary>
    internal void Prepare()
    {
        Directory.CreateDirectory(_directory);
        KillPosix.SyncDirectory(_directory);
        KillPosix.SyncDirectory(Path.GetDirectoryName(_directory)!);
    }

    /// <summary>Works until an operation fails, as they all do once the daemon is dead; returns that failure.</summary>
    internal IOException Work()
    {
        try
        {
            while (true)
            {
                if (_mails.Count >= MailsMax || (_mails.Count > 0 && _random.Next(4) == 0))
                {
                    Remove();
                }
                else
                {
                    Deliver();
                }
            }
        }
        catch (IOException e)
        {
            return e;
        }
        catch (UnauthorizedAccessException e)
        {
            return new IOException(e.Message, e);
        }
    }

    /// <summary>Holds what is there against the journal. Goes on from what it finds; what was under way is settled.</summary>
    internal void Verify()
    {
        var found = new HashSet<string>(Directory.GetFiles(_directory).Select(static f => Path.GetFileName(f)!), StringComparer.Ordinal);
        foreach (SpoolMail mail in _mails.ToArray())
        {
            Verify(mail, found);
        }

        if (found.Count > 0)
        {
            throw new KillFailureException($"{_directory}: {string.Join(", ", found)} should not be there");
        }

        _ = _mails.RemoveAll(static m => m.At == SpoolMail.Stage.Removed);
        KillPosix.SyncDirectory(_directory);
    }

    private void Verify(SpoolMail mail, HashSet<string> found)
    {
        bool tmp = found.Remove(TemporaryName(mail));
        string path = Path.Combine(_directory, tmp ? TemporaryName(mail) : mail.Name);
        switch (mail.At)
        {
            case SpoolMail.Stage.Writing:
                if (tmp)
                {
                    if (new FileInfo(path).Length > mail.Length)
                    {
                        throw Broken(mail, "is longer than it was ever written");
                    }

                    File.Delete(path);
                }

                mail.At = SpoolMail.Stage.Removed;
                break;
            case SpoolMail.Stage.Written when tmp:
                VerifyContents(mail, path);
                File.Delete(path);
                mail.At = SpoolMail.Stage.Removed;
                break;
            case SpoolMail.Stage.Written or SpoolMail.Stage.Delivered:
                if (tmp || !found.Remove(mail.Name))
                {
                    throw Broken(mail, tmp ? "is there under its temporary name" : "is gone");
                }

                VerifyContents(mail, path);
                mail.At = SpoolMail.Stage.Delivered;
                Retire(mail.Replaces);
                break;
            case SpoolMail.Stage.Removing:
                if (found.Remove(mail.Name))
                {
                    VerifyContents(mail, path);
                    mail.At = SpoolMail.Stage.Delivered;
                }
                else
                {
                    mail.At = SpoolMail.Stage.Removed;
                }

                break;
        }
    }

    private void VerifyContents(SpoolMail mail, string path)
    {
        byte[] data = File.ReadAllBytes(path);
        Fill(mail);
        if (!data.AsSpan().SequenceEqual(_buffer.AsSpan(0, mail.Length)))
        {
            throw Broken(mail, $"has other contents ({data.Length} bytes, {data.AsSpan().CommonPrefixLength(_buffer.AsSpan(0, mail.Length))} of them right)");
        }
    }

    private void Deliver()
    {
        SpoolMail? replaced = _random.Next(3) == 0 && _mails.Count > 0 ? _mails[_random.Next(_mails.Count)] : null;
        int number = ++_numbers;
        var mail = new SpoolMail
        {
            Name = replaced?.Name ?? string.Create(CultureInfo.InvariantCulture, $"m{number}"),
            Number = number,
            Length = _random.Next(3) == 0 ? _random.Next(LengthMax) : _random.Next(4000),
            Replaces = replaced,
        };
        string tmp = Path.Combine(_directory, TemporaryName(mail));
        Fill(mail);
        _mails.Insert(0, mail);
        using (var file = new FileStream(tmp, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0))
        {
            file.Write(_buffer, 0, mail.Length);
            if (_ackEarly)
            {
                mail.At = SpoolMail.Stage.Written;
            }

            KillPosix.Sync(file.SafeFileHandle);
        }

        mail.At = SpoolMail.Stage.Written;
        Acknowledged++;
        if (replaced is not null)
        {
            replaced.At = SpoolMail.Stage.Removing;
        }

        File.Move(tmp, Path.Combine(_directory, mail.Name), overwrite: true);
        if (_ackEarly)
        {
            mail.At = SpoolMail.Stage.Delivered;
        }

        KillPosix.SyncDirectory(_directory);
        mail.At = SpoolMail.Stage.Delivered;
        Retire(replaced);
        Acknowledged++;
    }

    private void Remove()
    {
        SpoolMail mail = _mails[_random.Next(_mails.Count)];
        mail.At = SpoolMail.Stage.Removing;
        File.Delete(Path.Combine(_directory, mail.Name));
        KillPosix.SyncDirectory(_directory);
        mail.At = SpoolMail.Stage.Removed;
        _ = _mails.Remove(mail);
        Acknowledged++;
    }

    /// <summary>A mail whose name belongs to another one now.</summary>
    private void Retire(SpoolMail? replaced)
    {
        if (replaced is not null)
        {
            replaced.At = SpoolMail.Stage.Removed;
            _ = _mails.Remove(replaced);
        }
    }

    private string TemporaryName(SpoolMail mail) => string.Create(CultureInfo.InvariantCulture, $"tmp{mail.Number}");

    private void Fill(SpoolMail mail)
    {
        var random = new Random((mail.Number * 1000) + _id);
        random.NextBytes(_buffer.AsSpan(0, mail.Length));
    }

    private KillFailureException Broken(SpoolMail mail, string what) =>
        new($"{_directory}/{mail.Name} (mail {mail.Number}, {mail.Length} bytes, {mail.At}{(mail.Replaces is null ? "" : $", over mail {mail.Replaces.Number}")}) {what}");
}
