// Package measure holds what every load generator here needs: histograms of latency, a clock and a schedule that do not distort what they
// measure, and the arithmetic of repeated runs.
//
//	Schedule.At(i) ──► Pacer.Until(due) ──► request ──► answer ──► Histogram.Since(due)
//
// Latency counts from the time at which a request was due, not from the time at which it was sent: a server that stalls makes later
// requests late, and that belongs to it (no coordinated omission). How late the generator itself was is a histogram of its own, so that a
// reader can tell a slow server from a starved client.
//
// Histograms hold nanoseconds with three significant digits and report microseconds. A Histogram belongs to one goroutine; Merge joins them.
package measure
