// Package wire holds the primitives of the quorum's binary formats: minimal-length varints, length-prefixed strings and
// bounded counts. A Reader accepts exactly what the Append functions write, so that every value has one encoding.
package wire
