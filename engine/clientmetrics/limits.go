package clientmetrics

import "time"

const (
	// instancesMax is of how many clients something is known at a time, as in Kafka. The one that was silent the longest goes first.
	instancesMax = 16384
	// seriesMax and instanceSeriesMax are how many values are kept, of all clients and of one.
	seriesMax         = 20_000
	instanceSeriesMax = 200
	// textMax is the longest name of a metric, and of its attributes together.
	textMax = 256
	// depthMax bounds the messages within messages that are looked into; OTLP has six.
	depthMax = 8

	// growthMax is what a push of the largest size may become when it is decompressed, times that size.
	growthMax = 8

	// DefaultInterval is how often clients ask and push when no subscription says so.
	DefaultInterval = 5 * time.Minute
	// staleIntervals is after how many intervals of silence a client's values are forgotten, and staleLeast the least time: the page is not looked at
	// more often, and a client that has ended is still worth a look.
	staleIntervals = 3
	staleLeast     = time.Minute
)
