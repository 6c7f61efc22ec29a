using Xunit.Sdk;
using Xunit.v3;

// Some tests count all live tensors, which others would disturb; and libtorch takes all cores for one test anyway.
[assembly: Parallelization(Mode = ParallelMode.None)]
