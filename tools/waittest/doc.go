// Package waittest lets tests wait for a condition instead of a time: a test that sleeps is slow on a fast machine and wrong on a slow one.
//
//	waittest.Until(t, 30*time.Second, "the new leader has the topic", func() bool { return n.Image().Topic("t") != nil })
//
// It is a leaf: the tests of every layer may import it, and it imports nothing of ours.
package waittest
