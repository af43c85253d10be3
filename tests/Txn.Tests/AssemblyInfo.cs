// The kmem system and the list of threads are per process.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
