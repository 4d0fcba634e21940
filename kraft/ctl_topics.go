package kraft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

const (
	// maxPartitionsPerRequest is Kafka's bound (ReplicationControlManager).
	maxPartitionsPerRequest = 10_000
	// maxTopicName is Kafka's bound: the name has to fit a directory with "-" and a partition number.
	maxTopicName = 249
	// clusterMetadataTopic is the name that Kafka gives to the quorum's log.
	clusterMetadataTopic = "__cluster_metadata"
)

func (t *tx) createTopics(r *kmsg.CreateTopicsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
	resp.Topics = make([]kmsg.CreateTopicsResponseTopic, 0, len(r.Topics))
	count := make(map[string]int, len(r.Topics))
	total := int64(0)
	for i := range r.Topics {
		rt := &r.Topics[i]
		count[rt.Topic]++
		switch {
		case len(rt.ReplicaAssignment) > 0:
			total += int64(len(rt.ReplicaAssignment))
		case rt.NumPartitions == -1:
			total += int64(t.c.opts.Defaults.Partitions)
		default:
			total += max(0, int64(rt.NumPartitions))
		}
	}
	names := collisions{t: t}
	answered := make(map[string]bool, len(r.Topics))
	validate := r.ValidateOnly
	for i := range r.Topics {
		rt := &r.Topics[i]
		if answered[rt.Topic] {
			continue // one answer for a name that is there twice
		}
		answered[rt.Topic] = true
		out := kmsg.NewCreateTopicsResponseTopic()
		out.Topic = rt.Topic
		var e kafkaError
		switch {
		case count[rt.Topic] > 1:
			e = kafkaError{kafkaInvalidRequest, fmt.Sprintf("Topic %q is in the request more than once.", rt.Topic)}
		case total > maxPartitionsPerRequest:
			e = kafkaError{kafkaPolicyViolation, fmt.Sprintf("The request asks for %d partitions, the most is %d.", total, maxPartitionsPerRequest)}
		default:
			e = t.createTopic(rt, &names, validate, &out)
		}
		out.ErrorCode, out.ErrorMessage = e.code, e.message()
		if e.code != 0 || out.Configs == nil {
			out.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		}
		resp.Topics = append(resp.Topics, out)
	}
	resp.ThrottleMillis = t.waitMillis()
	return resp
}

// createTopic checks one topic and, unless only asked to check, creates it.
func (t *tx) createTopic(rt *kmsg.CreateTopicsRequestTopic, names *collisions, validate bool, out *kmsg.CreateTopicsResponseTopic) kafkaError {
	if t.img().Topic(rt.Topic) != nil {
		return kafkaError{kafkaTopicExists, fmt.Sprintf("Topic '%s' already exists.", rt.Topic)}
	}
	if e := checkTopicName(rt.Topic); e.code != 0 {
		return e
	}
	if other, ok := names.find(rt.Topic); ok {
		return kafkaError{kafkaInvalidTopic, fmt.Sprintf("Topic %q collides with the existing topic %q: '.' and '_' count as the same.", rt.Topic, other)}
	}
	configs := make(map[string]string, len(rt.Configs))
	for _, c := range rt.Configs {
		if c.Value == nil {
			return kafkaError{kafkaInvalidConfig, fmt.Sprintf("Null value for topic configuration %q.", c.Name)}
		}
		if e := t.checkConfig(record.ConfigResource{Type: TopicConfig, Name: rt.Topic}, c.Name, *c.Value); e.code != 0 {
			return e
		}
		configs[c.Name] = *c.Value
	}
	leaders, factor, e := t.layout(rt) // behind the configuration, as in Kafka: its error is the one to see
	if e.code != 0 {
		return e
	}
	if e := t.mutate(len(leaders)); e.code != 0 { // behind every other reason to refuse, and also when nothing is to be created, as in Kafka
		return e
	}
	id := randomID()
	out.NumPartitions, out.ReplicationFactor = int32(len(leaders)), 1 // the copies that exist
	out.Configs = t.describeTopic(configs)
	if validate {
		return kafkaError{}
	}
	out.TopicID = id
	t.add(&record.TopicCreated{ID: id, Name: rt.Topic, ReplicationFactor: factor})
	t.addPartitions(id, 0, leaders)
	for _, k := range sortedKeys(configs) {
		t.add(&record.ConfigSet{Resource: TopicResource(rt.Topic), Key: k, Value: configs[k]})
	}
	names.add(rt.Topic)
	return kafkaError{}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// addPartitions adds partitions from number first on, with the given leaders.
func (t *tx) addPartitions(id TopicID, first int, leaders []int32) {
	for i, leader := range leaders {
		t.add(&record.PartitionCreated{
			Topic: id, Partition: int32(first + i), Leader: leader, Stream: t.img().NextStreamID(),
		})
	}
}

// describeTopic is the effective configuration of a topic, for the answer.
func (t *tx) describeTopic(configs map[string]string) []kmsg.CreateTopicsResponseTopicConfig {
	out := []kmsg.CreateTopicsResponseTopicConfig{}
	if f := t.c.opts.Defaults.TopicConfigs; f != nil {
		for _, e := range f(configs) {
			out = append(out, kmsg.CreateTopicsResponseTopicConfig{Name: e.Name, Value: e.Value, ReadOnly: e.ReadOnly, Source: e.Source, IsSensitive: e.Sensitive})
		}
		return out
	}
	for _, k := range sortedKeys(configs) {
		v := configs[k]
		out = append(out, kmsg.CreateTopicsResponseTopicConfig{Name: k, Value: &v, Source: 1})
	}
	return out
}

// checkTopicName is Kafka's rule for names.
func checkTopicName(name string) kafkaError {
	switch {
	case name == clusterMetadataTopic:
		return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Creation of the internal topic %q is prohibited.", name)}
	case name == "":
		return kafkaError{kafkaInvalidTopic, "Topic name is invalid: it is empty."}
	case name == "." || name == "..":
		return kafkaError{kafkaInvalidTopic, "Topic name is invalid: '.' and '..' are not allowed."}
	case len(name) > maxTopicName:
		return kafkaError{kafkaInvalidTopic, fmt.Sprintf("Topic name is invalid: it has %d characters, the most is %d.", len(name), maxTopicName)}
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return kafkaError{kafkaInvalidTopic, fmt.Sprintf("Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)}
		}
	}
	return kafkaError{}
}

// collisions finds topics whose names differ in '.' and '_' only, which would share the name of a metric. The index is made when it is first needed.
type collisions struct {
	t     *tx
	names map[string]string // with '.' replaced by '_' -> name
}

func (c *collisions) find(name string) (string, bool) {
	if !strings.ContainsAny(name, "._") {
		return "", false
	}
	if c.names == nil {
		c.names = make(map[string]string)
		c.t.img().Topics(func(t *Topic) bool {
			c.put(t.Name)
			return true
		})
	}
	other, ok := c.names[strings.ReplaceAll(name, ".", "_")]
	return other, ok
}

func (c *collisions) add(name string) {
	if c.names != nil {
		c.put(name)
	}
}

func (c *collisions) put(name string) {
	if strings.ContainsAny(name, "._") {
		c.names[strings.ReplaceAll(name, ".", "_")] = name
	}
}

// layout decides the leader of each partition of a new topic, and the replication factor that the creator wants.
func (t *tx) layout(rt *kmsg.CreateTopicsRequestTopic) (leaders []int32, factor int16, e kafkaError) {
	if len(rt.ReplicaAssignment) > 0 {
		return t.manualLayout(rt)
	}
	n := rt.NumPartitions
	switch {
	case n == -1:
		n = t.c.opts.Defaults.Partitions
	case n < 1:
		return nil, 0, kafkaError{kafkaInvalidPartitions, fmt.Sprintf("Number of partitions was set to %d: it must be 1 or larger.", n)}
	}
	factor = rt.ReplicationFactor
	switch {
	case factor == -1:
		factor = t.c.opts.Defaults.ReplicationFactor
	case factor < 1:
		return nil, 0, kafkaError{kafkaInvalidReplication, fmt.Sprintf("Replication factor was set to %d: it must be 1 or larger.", factor)}
	}
	leaders, e = t.spread(int(n))
	return leaders, factor, e
}

// spread gives each of n new partitions to the broker that leads the fewest, of those that are neither fenced nor shutting down nor draining.
func (t *tx) spread(n int) ([]int32, kafkaError) {
	type load struct {
		id    int32
		leads int
	}
	var brokers []load
	t.img().Brokers(func(b *Broker) bool {
		if t.usable(b) && !b.Draining {
			brokers = append(brokers, load{b.ID, t.img().PartitionsLed(b.ID)})
		}
		return true
	})
	if len(brokers) == 0 {
		return nil, kafkaError{kafkaInvalidReplication, "Unable to place the partitions: all brokers are currently fenced, shutting down or draining."}
	}
	leaders := make([]int32, n)
	for i := range leaders {
		best := 0
		for j := range brokers {
			if brokers[j].leads < brokers[best].leads {
				best = j
			}
		}
		brokers[best].leads++
		leaders[i] = brokers[best].id
	}
	return leaders, kafkaError{}
}

func (t *tx) manualLayout(rt *kmsg.CreateTopicsRequestTopic) ([]int32, int16, kafkaError) {
	if rt.NumPartitions != -1 || rt.ReplicationFactor != -1 {
		return nil, 0, kafkaError{kafkaInvalidRequest, "A manual partition assignment was given, but the number of partitions or the replication factor is not -1."}
	}
	byID := make(map[int32][]int32, len(rt.ReplicaAssignment))
	for _, a := range rt.ReplicaAssignment {
		if _, dup := byID[a.Partition]; dup {
			return nil, 0, kafkaError{kafkaInvalidAssignment, fmt.Sprintf("Partition %d is assigned twice.", a.Partition)}
		}
		byID[a.Partition] = a.Replicas
	}
	lists := make([][]int32, len(byID))
	for i := range lists {
		replicas, ok := byID[int32(i)]
		if !ok {
			return nil, 0, kafkaError{kafkaInvalidAssignment, "Partitions should be a consecutive 0-based integer sequence."}
		}
		lists[i] = replicas
	}
	leaders, e := t.chooseLeaders(lists, len(lists[0]))
	return leaders, int16(len(lists[0])), e
}

// chooseLeaders checks manual assignments and takes from each the first replica that is not fenced, else the first.
func (t *tx) chooseLeaders(lists [][]int32, factor int) ([]int32, kafkaError) {
	leaders := make([]int32, len(lists))
	for i, replicas := range lists {
		if len(replicas) == 0 {
			return nil, kafkaError{kafkaInvalidAssignment, "The manual partition assignment includes an empty replica list."}
		}
		if len(replicas) != factor {
			return nil, kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes a partition with %d replicas, but others have %d.", len(replicas), factor)}
		}
		seen := make(map[int32]bool, len(replicas))
		leaders[i] = -1
		for _, id := range replicas {
			b := t.img().Broker(id)
			if b == nil {
				return nil, kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes broker %d, but no such broker is registered.", id)}
			}
			if seen[id] {
				return nil, kafkaError{kafkaInvalidAssignment, fmt.Sprintf("The manual partition assignment includes the broker %d more than once.", id)}
			}
			seen[id] = true
			if leaders[i] == -1 && !b.Fenced {
				leaders[i] = id
			}
		}
		if leaders[i] == -1 {
			leaders[i] = replicas[0]
		}
	}
	return leaders, kafkaError{}
}

func (t *tx) createPartitions(r *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.CreatePartitionsResponse)
	resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, 0, len(r.Topics))
	count := make(map[string]int, len(r.Topics))
	for i := range r.Topics {
		count[r.Topics[i].Topic]++
	}
	room := int64(maxPartitionsPerRequest)
	answered := make(map[string]bool, len(r.Topics))
	for i := range r.Topics {
		rt := &r.Topics[i]
		if answered[rt.Topic] {
			continue
		}
		answered[rt.Topic] = true
		e := kafkaError{kafkaInvalidRequest, fmt.Sprintf("Topic %q is in the request more than once.", rt.Topic)}
		if count[rt.Topic] == 1 {
			e = t.growTopic(rt, r.ValidateOnly, &room)
		}
		resp.Topics = append(resp.Topics, kmsg.CreatePartitionsResponseTopic{Topic: rt.Topic, ErrorCode: e.code, ErrorMessage: e.message()})
	}
	resp.ThrottleMillis = t.waitMillis()
	return resp
}

func (t *tx) growTopic(rt *kmsg.CreatePartitionsRequestTopic, validate bool, room *int64) kafkaError {
	topic := t.img().Topic(rt.Topic)
	if topic == nil {
		return kafkaError{kafkaUnknownTopic, fmt.Sprintf("Topic %q does not exist.", rt.Topic)}
	}
	have := len(topic.Partitions)
	added := int64(rt.Count) - int64(have)
	switch {
	case added == 0:
		return kafkaError{kafkaInvalidPartitions, fmt.Sprintf("Topic already has %d partition(s).", have)}
	case added < 0:
		return kafkaError{kafkaInvalidPartitions, fmt.Sprintf("The topic %s currently has %d partition(s); %d would not be an increase.", rt.Topic, have, rt.Count)}
	case rt.Assignment != nil && int64(len(rt.Assignment)) != added:
		return kafkaError{kafkaInvalidAssignment, fmt.Sprintf("Attempted to add %d additional partition(s), but %d assignment(s) were specified.", added, len(rt.Assignment))}
	case added > *room:
		return kafkaError{kafkaPolicyViolation, fmt.Sprintf("The request asks for %d additional partitions, the most is %d in one request.", added, maxPartitionsPerRequest)}
	}
	if e := t.mutate(int(added)); e.code != 0 {
		return e
	}
	var leaders []int32
	var e kafkaError
	if rt.Assignment == nil {
		leaders, e = t.spread(int(added))
	} else {
		lists := make([][]int32, len(rt.Assignment))
		for i, a := range rt.Assignment {
			lists[i] = a.Replicas
		}
		leaders, e = t.chooseLeaders(lists, int(topic.ReplicationFactor))
	}
	if e.code != 0 || validate {
		return e
	}
	*room -= added
	t.addPartitions(topic.ID, have, leaders)
	return kafkaError{}
}

func (t *tx) deleteTopics(r *kmsg.DeleteTopicsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.DeleteTopicsResponse)
	resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, 0, len(r.TopicNames)+len(r.Topics))
	wanted := slices.Clone(r.Topics)
	if r.GetVersion() < 6 {
		wanted = wanted[:0]
		for _, name := range r.TopicNames {
			wanted = append(wanted, kmsg.DeleteTopicsRequestTopic{Topic: &name})
		}
	}
	// A topic that is named twice, be it once by name and once by id, is an error for every mention of it.
	mentions := make(map[TopicID]int, len(wanted))
	names := make(map[string]int, len(wanted))
	for _, w := range wanted {
		switch {
		case w.Topic != nil && w.TopicID == [16]byte{}:
			names[*w.Topic]++
			if topic := t.img().Topic(*w.Topic); topic != nil {
				mentions[topic.ID]++
			}
		case w.Topic == nil:
			mentions[w.TopicID]++
		}
	}
	for _, w := range wanted {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = w.Topic, w.TopicID
		var topic *Topic
		var e kafkaError
		switch {
		case (w.Topic == nil) == (w.TopicID == [16]byte{}):
			e = kafkaError{kafkaInvalidRequest, "A topic must be given by its name or by its id, and not by both."}
		case w.Topic != nil && names[*w.Topic] > 1, w.Topic == nil && mentions[w.TopicID] > 1:
			e = kafkaError{kafkaInvalidRequest, "The topic is in the request more than once."}
		case w.Topic != nil:
			if topic = t.img().Topic(*w.Topic); topic == nil {
				e = kafkaError{kafkaUnknownTopic, "This server does not host this topic-partition."}
			}
		default:
			if topic = t.img().TopicByID(w.TopicID); topic == nil {
				e = kafkaError{kafkaUnknownTopicID, "This server does not host this topic ID."}
			}
		}
		if topic != nil && mentions[topic.ID] > 1 {
			e = kafkaError{kafkaInvalidRequest, "The topic is in the request more than once."}
		}
		if t.c.opts.Defaults.NoDeleteTopics {
			e = kafkaError{kafkaTopicDeletionDisabled, "Topic deletion is disabled."}
			if r.GetVersion() < 3 {
				e.code = kafkaInvalidRequest
			}
		}
		if e.code == 0 {
			out.Topic, out.TopicID = &topic.Name, topic.ID
			if e = t.mutate(len(topic.Partitions)); e.code == 0 {
				t.add(&record.TopicDeleted{ID: topic.ID, Time: t.now.UnixMilli()})
			}
		}
		out.ErrorCode, out.ErrorMessage = e.code, e.message()
		resp.Topics = append(resp.Topics, out)
	}
	resp.ThrottleMillis = t.waitMillis()
	return resp
}
