// Package freeport finds TCP ports of the loopback address for servers that a test or a benchmark starts, or starts again, at an address that is known before.
//
// To bind port 0, close it and use its number is not enough: the number is one that the kernel gives to outgoing connections, too, and whatever connects on the
// same machine may get it before the server binds it, or while the server is restarted. The ports of this package lie below that range, and each is reserved
// for the process that got it until it ends.
package freeport
