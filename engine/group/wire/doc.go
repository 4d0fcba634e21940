// Package wire reads and writes Kafka's primitive types in the records of __consumer_offsets. Readers bound every length by what is there,
// and remember that something did not fit; writers append. A sub-slice that a reader returns is part of its input.
package wire
