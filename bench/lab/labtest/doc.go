// Package labtest starts clusters on the hosts of a lab, for tests: controllers, brokers, a MinIO, each on a host of its own, and load that is
// accounted for while things go wrong.
//
//	c := labtest.Start(t, labtest.Options{Binary: binary, Controllers: 3, Brokers: 2})
//	l := c.StartLoad(labtest.LoadOptions{Topic: "orders", Partitions: 12})
//	gaps := c.Event("kill -9 of broker 4", func() { c.Node(4).Kill(); c.Node(4).MustStart() })
//	l.Check()
//
// Everything is awaited by a condition, within a limit that is generous because machines are busy. When a test fails, the ends of all logs are in
// its output, and the whole logs are kept in the directory that LABTEST_KEEP names. Where namespaces are not permitted Start skips the test and says
// why; Options.Loopback does without them, and without faults of the network.
package labtest
