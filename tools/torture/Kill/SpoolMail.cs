namespace ZfsLite.Torture;

/// <summary>A mail in a spool, and what of it was acknowledged.</summary>
internal sealed class SpoolMail
{
    /// <summary>How far it is. Each stage is entered when the call that leads to it is begun or has returned, as its name says.</summary>
    internal enum Stage
    {
        /// <summary>Being created and written under its temporary name: all of it, a part or nothing may be there.</summary>
        Writing,

        /// <summary>Its fsync has returned: all of it is there, under its temporary or its proper name (the rename may have begun).</summary>
        Written,

        /// <summary>The rename was committed: all of it is there, under its proper name.</summary>
        Delivered,

        /// <summary>Its removal was begun: all of it or nothing is there.</summary>
        Removing,

        /// <summary>Its removal was committed: it is not there.</summary>
        Removed,
    }

    /// <summary>What it is called once delivered.</summary>
    internal required string Name { get; init; }

    /// <summary>Decides its contents.</summary>
    internal required int Number { get; init; }

    internal required int Length { get; init; }

    /// <summary>The mail that had this name before, and that the rename replaces; null if none.</summary>
    internal SpoolMail? Replaces { get; init; }

    internal Stage At { get; set; }
}
