package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/streams"
	"github.com/ringmq/ringmq/engine/kproto"
)

// Internal topics of streams groups: repartition topics and changelogs. A heartbeat that finds them missing has them created behind its back,
// and says so in the status MISSING_INTERNAL_TOPICS; a later one of the group finds them there. What went wrong is added to the status of the
// heartbeats that follow, for two heartbeat intervals, during which it is not tried again.

// internalTopics is what is being created, and what could not be. The zero value is ready to use.
type internalTopics struct {
	mu      sync.Mutex
	pending map[string]struct{}
	failed  map[string]creationFailure
}

type creationFailure struct {
	message string
	until   time.Time
}

// maxFailures bounds the failures that are remembered; Kafka has the same bound.
const maxFailures = 1000

// begin takes those of the topics that are to be created now, and the failures of the others.
func (it *internalTopics) begin(topics []streams.NewTopic, now time.Time) (create []streams.NewTopic, failures []string) {
	it.mu.Lock()
	defer it.mu.Unlock()
	for _, t := range topics {
		if f, ok := it.failed[t.Name]; ok && now.Before(f.until) {
			failures = append(failures, fmt.Sprintf("%s (%s)", t.Name, f.message))
			continue
		}
		if _, ok := it.pending[t.Name]; !ok {
			if it.pending == nil {
				it.pending, it.failed = make(map[string]struct{}), make(map[string]creationFailure)
			}
			it.pending[t.Name] = struct{}{}
			create = append(create, t)
		}
	}
	return create, failures
}

// end notes what became of topics: the messages of those that could not be created.
func (it *internalTopics) end(topics []streams.NewTopic, failures map[string]string, now, until time.Time) {
	it.mu.Lock()
	defer it.mu.Unlock()
	for name, f := range it.failed {
		if !now.Before(f.until) {
			delete(it.failed, name)
		}
	}
	for _, t := range topics {
		delete(it.pending, t.Name)
		if message, failed := failures[t.Name]; failed && len(it.failed) < maxFailures {
			it.failed[t.Name] = creationFailure{message, until}
		}
	}
}

// createInternal has the missing topics of a group created, if the sender may create them, and completes the status of the answer.
func (b *Broker) createInternal(r *request, resp *kmsg.StreamsGroupHeartbeatResponse, missing []streams.NewTopic) {
	add := func(text string) {
		for i := range resp.Status {
			if resp.Status[i].StatusCode == int8(streams.MissingInternal) {
				resp.Status[i].StatusDetail += "; " + text + "."
			}
		}
	}
	if b.authorizer != nil {
		a := r.conn.asker(b)
		var denied []string
		for _, t := range missing {
			if !a.cluster(opCreate) && !a.topic(opCreate, t.Name) {
				denied = append(denied, t.Name)
			}
		}
		if len(denied) > 0 {
			add("Unauthorized to CREATE on topics " + strings.Join(denied, ", "))
			return
		}
	}
	now := time.Now()
	create, failures := b.internalTopics.begin(missing, now)
	if len(failures) > 0 {
		const shown = 3
		text := strings.Join(failures[:min(len(failures), shown)], ", ")
		if len(failures) > shown {
			text += fmt.Sprintf(" and %d more", len(failures)-shown)
		}
		add("Creation failed: " + text)
	}
	if len(create) == 0 {
		return
	}
	group := r.body.(*kmsg.StreamsGroupHeartbeatRequest).Group
	wait := 2 * b.streamsConfig(group).HeartbeatInterval
	results := make(map[string]string)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(autoCreateTimeout.Milliseconds())
	for _, t := range create {
		req.Topics = append(req.Topics, internalTopicRequest(t))
	}
	asked := r.mutating(b.ctx, 0) // now: when r is answered, the connection may become somebody else's
	b.workers.Go(func() {
		ctx, cancel := context.WithTimeout(asked, autoCreateTimeout)
		defer cancel()
		answers := b.create(ctx, req, "for streams group "+group).Topics
		for i := range answers {
			t := &answers[i]
			code := kproto.ErrorCode(t.ErrorCode)
			if code == kproto.None || code == kproto.TopicAlreadyExists { // it exists: an answer was on its way while it was created
				continue
			}
			results[t.Topic] = code.String()
			if t.ErrorMessage != nil && *t.ErrorMessage != "" {
				results[t.Topic] = *t.ErrorMessage
			}
			if code == kproto.ThrottlingQuotaExceeded {
				results[t.Topic] = "The throttling quota has been exceeded."
			}
			b.log.Warn("internal topic not created", "topic", t.Topic, "group", group, "cause", results[t.Topic])
		}
		end := time.Now()
		b.internalTopics.end(create, results, end, end.Add(wait))
	})
}

func internalTopicRequest(t streams.NewTopic) kmsg.CreateTopicsRequestTopic {
	out := kmsg.NewCreateTopicsRequestTopic()
	out.Topic, out.NumPartitions, out.ReplicationFactor = t.Name, t.Partitions, t.Replication
	if out.ReplicationFactor == 0 {
		out.ReplicationFactor = -1
	}
	for _, c := range t.Configs {
		out.Configs = append(out.Configs, topicConfigPair(c.Key, c.Value))
	}
	return out
}
