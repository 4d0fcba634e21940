package kraft

import "time"

// MutationQuota counts the partitions that clients have created and deleted, for controller_mutation_rate. Only the active controller counts, so that a client's
// rate is the same however many brokers it asks; the next controller begins anew, as in Kafka. Called under the controller's lock.
type MutationQuota interface {
	// Set takes the quotas of an image: when the controller becomes active, and when they change. nil: it is not active any more, and there are none.
	Set(img *Image)
	// Take counts n partitions that a client wants to be created or deleted, and returns how long the client has to wait. false: it has taken too much before, so
	// nothing was counted, and the change is not to be made.
	Take(a Asker, n int) (wait time.Duration, ok bool)
}

// mutate counts n partitions for who asks, if somebody does.
func (t *tx) mutate(n int) kafkaError {
	q := t.c.opts.Mutations
	if q == nil || t.asker.Principal == "" {
		return kafkaError{}
	}
	wait, ok := q.Take(t.asker, n)
	t.wait = max(t.wait, wait)
	if !ok {
		return kafkaError{code: kafkaThrottlingQuotaExceeded}
	}
	return kafkaError{}
}

// waitMillis is the throttle time of the answer.
func (t *tx) waitMillis() int32 { return int32(t.wait.Milliseconds()) }

// setQuotas has the quotas of an image count from now on.
func (c *controller) setQuotas(img *Image) {
	if c.opts.Mutations != nil {
		c.opts.Mutations.Set(img)
	}
}
