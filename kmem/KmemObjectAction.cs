namespace ZfsLite.Kmem;

/// <summary>A constructor or destructor of a cache's objects: run at every allocation or free.</summary>
public unsafe delegate void KmemObjectAction(byte* obj);
