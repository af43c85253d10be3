namespace ZfsLite.Cli;

/// <summary>Which dataset a command means.</summary>
internal static class DatasetName
{
    /// <summary>
    /// --dataset if given; the target itself if it was typed as pool/fs; the mounted dataset for a directory; null (the root file
    /// system) for a pool or device.
    /// </summary>
    internal static string? From(string target, HelloInfo hello, string? dataset)
    {
        if (dataset is not null)
        {
            return dataset;
        }

        if (target.StartsWith(hello.Pool + "/", StringComparison.Ordinal) || target.StartsWith(hello.Pool + "@", StringComparison.Ordinal))
        {
            return target;
        }

        return Path.GetFullPath(target).TrimEnd('/') == hello.MountPoint.TrimEnd('/') ? hello.Dataset : null;
    }

    /// <summary>The full name: a name that does not begin with the pool's own is taken to lie under it.</summary>
    internal static string Full(string pool, string? dataset)
    {
        if (string.IsNullOrEmpty(dataset))
        {
            return pool;
        }

        bool full = dataset == pool || dataset.StartsWith(pool + "/", StringComparison.Ordinal) || dataset.StartsWith(pool + "@", StringComparison.Ordinal);
        if (full)
        {
            return dataset;
        }

        return dataset.StartsWith('@') ? pool + dataset : $"{pool}/{dataset}";
    }
}
