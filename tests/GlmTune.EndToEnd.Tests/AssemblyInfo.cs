// Each test runs processes that use every core.
[assembly: CollectionBehavior(CollectionBehavior.CollectionPerAssembly)]
