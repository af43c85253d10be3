namespace ZfsLite.Fs;

/// <summary>Life of a znode in memory.</summary>
internal enum ZnodeState
{
    /// <summary>In the free list.</summary>
    Free,

    /// <summary>One thread reads it in; others wait.</summary>
    Loading,

    /// <summary>Usable.</summary>
    Ready,

    /// <summary>Its object is freed or being freed: whoever asks gets ESTALE.</summary>
    Dead,
}
