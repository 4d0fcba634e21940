// Package clientmetrics takes the metrics that clients send of themselves (KIP-714): administrators subscribe to them, clients ask which are wanted and push them.
//
//	metadata image ──► Manager.Set: subscriptions
//	client ──► Get: who it is, what is wanted of it, how often ──► instance, kept while it comes back
//	client ──► Push: OTLP, compressed ──► decode (bounded) ──► the last value of each metric ──► Samples, for the metrics page
//
// What is refused, and with which code, is as in Kafka's ClientMetricsManager. Nothing that clients send is trusted: instances, metrics of one and bytes have bounds
// (limits.go), and what is above is left out and counted. A Manager may be used from any goroutine.
package clientmetrics
