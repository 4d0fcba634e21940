// Package nothing is a broker that does no work: it acknowledges every produce request as soon as the last byte has been read, and keeps nothing. What
// a producer reaches against it is the most that it can reach against any broker on the same machine: the producer's own limit.
//
// It serves ApiVersions, Metadata, InitProducerId and Produce, and closes the connection of any other request.
package nothing
