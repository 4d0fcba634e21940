// Package report is what the programs of the matrix are given and print, as ../../PROTOCOL.md says: the checks, the sums, the records, the way to the broker.
package report
