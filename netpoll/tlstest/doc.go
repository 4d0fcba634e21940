// Package tlstest makes certificate authorities, certificates and key stores for tests. Keys are ECDSA P-256, which are quick to make.
// It is a leaf: the tests of every layer may import it, and it imports nothing of ours.
package tlstest
