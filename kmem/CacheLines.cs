using System.Runtime.InteropServices;

namespace ZfsLite.Kmem;

/// <summary>
/// The last field of an object that one thread writes all the time. Objects of a class that are made one after the other lie side by side,
/// and what one thread writes would share a cache line with what another reads. Two lines: processors fetch them in pairs.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = 128)]
internal readonly struct CacheLines;
