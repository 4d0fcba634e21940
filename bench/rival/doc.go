// Package rival is what others do to a server while somebody measures: clients that take all they can get.
//
//	Frames   Produce requests of nearly 100 MiB, one after the other
//	Tiny     requests of some bytes, thousands in one write, as fast as the server takes them
//	Stall    consumers that ask for much and stop reading in the middle of the answer
//
// They keep to the protocol and to the limits that a server has by default: refusing them would be wrong, and serving them must not starve
// others. bench/side measures how much others feel, bench/resilience that it has bounds. Everything ends with its context.
package rival
