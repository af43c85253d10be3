using Xunit;

// One arena, one simulated world and one lock-order graph per process.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
