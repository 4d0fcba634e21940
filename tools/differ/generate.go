package differ

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/wire"
)

// words are the values of string fields by name, ordinary ones first and more often.
var words = map[string][]string{
	"Topic":                {"one", "three", "three", "missing", "", "not valid!", "..", strings.Repeat("x", 250), "__consumer_offsets"},
	"Group":                {"group", "other", "missing", ""},
	"CoordinatorKey":       {"group", "tx", ""},
	"CoordinatorKeys":      {"group", "tx", ""},
	"Groups":               {"group", "missing", ""},
	"MemberID":             {"", "nobody"},
	"TransactionalID":      {"tx", "ty", ""},
	"TransactionalIDs":     {"tx", "missing", ""},
	"ProtocolType":         {"consumer", "connect", ""},
	"ConfigNames":          {"retention.ms", "cleanup.policy", "nonsense", ""},
	"ConfigName":           {"retention.ms", "cleanup.policy", "nonsense"},
	"ResourceName":         {"one", "three", "missing", "1", "7", "", "*"},
	"Value":                {"1000", "-1", "compact", "abc", ""},
	"Host":                 {"*", "127.0.0.1"},
	"Principal":            {"User:alice", "User:*", "alice", ""},
	"StatesFilter":         {"Stable", "Empty", "Nonsense", ""},
	"TypesFilter":          {"classic", "consumer", "nonsense"},
	"StateFilters":         {"Ongoing", "Empty", "Nonsense"},
	"SubscribedTopicNames": {"one", "three", "missing"},
	"Mechanism":            {"PLAIN", "NONSENSE"},
	"Dir":                  {"/nowhere"},
	"Rack":                 {"", "r1"},
	"ServerAssignor":       {"uniform", "range", "nonsense"},
	// What makes topics makes them out of the way of the others.
	"CreateTopics.Topic":      {"made-1", "made-2", "not valid!", "..", "", "one", strings.Repeat("x", 250)},
	"DeleteTopics.Topic":      {"made-1", "made-2", "missing", "not valid!", ""},
	"DeleteTopics.TopicNames": {"made-1", "made-2", "missing", "not valid!", ""},
	"CreatePartitions.Topic":  {"made-1", "made-2", "missing", "not valid!", ""},
	"CreateTopics.Name":       {"retention.ms", "cleanup.policy", "nonsense"},
	"AlterConfigs.Name":       {"retention.ms", "cleanup.policy", "nonsense", ""},
	"JoinGroup.Name":          {"range", "roundrobin"},
}

// numbers are the values of integer fields by name.
var numbers = map[string][]int64{
	"Partition":                {0, 0, 1, 2, 3, -1, 99},
	"Partitions":               {0, 0, 1, 2, 3, -1, 99},
	"Acks":                     {-1, 1, 2, -2},
	"TimeoutMillis":            {5000, 5000, 1000},
	"MaxWaitMillis":            {0, 5},
	"MinBytes":                 {0, 1},
	"MaxBytes":                 {1 << 20, 1 << 20, 100},
	"PartitionMaxBytes":        {1 << 20, 1 << 20, 0},
	"SessionTimeoutMillis":     {300_000, 300_000, 1, -1},
	"RebalanceTimeoutMillis":   {300_000, -1},
	"Offset":                   {0, 1, 5, 1000, -1, -2},
	"FetchOffset":              {0, 1, 5, 1000, -1},
	"Timestamp":                {-1, -2, -3, -4, -5, -6, -7, 0, 1_700_000_000_000},
	"CurrentLeaderEpoch":       {-1, -1, 0, 5, -2},
	"LeaderEpoch":              {-1, 0, 5, -2},
	"LastFetchedEpoch":         {-1, 0},
	"NumPartitions":            {1, 3, 0, -1, -2},
	"Count":                    {1, 3, 4, 0, -1},
	"ReplicationFactor":        {1, -1, 0, 3},
	"ReplicaID":                {-1},
	"ResourceType":             {2, 2, 4, 3, 1, 0, 77},
	"ConfigResourceTypes":      {2, 4, 8, 16, 32},
	"ResourcePatternType":      {3, 3, 4, 1, 2, 0, 9},
	"Operation":                {2, 3, 4, 8, 1, 0, 40},
	"PermissionType":           {3, 2, 1, 0, 9},
	"CoordinatorType":          {0, 1, 2, 3},
	"IsolationLevel":           {0, 1},
	"Op":                       {0, 1, 2, 3, 9},
	"SessionID":                {0, 0, 12345},
	"SessionEpoch":             {-1, -1, 0, 5},
	"Generation":               {-1, -1, 0, 3},
	"MemberEpoch":              {0, -1, -2, 5},
	"ProducerID":               {-1, 7},
	"ProducerEpoch":            {-1, 0, 3},
	"RetentionTimeMillis":      {-1, 1000},
	"TransactionTimeoutMillis": {10000, 0, -1},
	"TTL":                      {0},
	"ElectionType":             {0, 1, 9},
	"Replicas":                 {1, 7},
	"MaxLifetimeMillis":        {-1, 1000},
	"ResponsePartitionLimit":   {2000, 1, 0, -1},
	"EndpointType":             {1, 2, 9},
	"ThrottleMillis":           {0},
	"DurationFilterMillis":     {-1, 0},
}

// generator fills requests. It draws the same values for both brokers, and each broker's own topic ids.
type generator struct {
	rnd   *rand.Rand
	ids   map[string][16]byte
	batch wire.Batch
	name  string // of the request, without "Request"
}

// generate makes the request that seed stands for.
func generate(key, version int16, seed uint64, ids map[string][16]byte) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	g := generator{rnd: rand.New(rand.NewPCG(seed, uint64(key)<<16|uint64(version))), ids: ids, name: strings.ReplaceAll(kmsg.NameForKey(key), "Incremental", "")}
	g.structure(reflect.ValueOf(req).Elem(), 0)
	switch r := req.(type) {
	case *kmsg.JoinGroupRequest:
		if r.Group != "" {
			r.Group = fmt.Sprintf("joined-%d-%d", version, seed) // a member stays for its session, and would meet the next
		}
	case *kmsg.MetadataRequest: // topics have names or ids, and not some of them these and some those
		byName := version < 12 || g.rnd.IntN(2) == 0
		for i := range r.Topics {
			if byName {
				r.Topics[i].TopicID = [16]byte{}
			} else {
				r.Topics[i].Topic = nil
			}
			if byName && r.Topics[i].Topic == nil {
				r.Topics[i].Topic = kmsg.StringPtr("one")
			}
		}
	}
	return req
}

// followers are the fields that only followers fill in; some exist in a few versions only, which kmsg does not know.
var followers = []string{"ReplicaState", "ClusterID", "ReplicaDirectoryID", "HighWatermark"}

func (g *generator) structure(v reflect.Value, depth int) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Version" && depth == 0 || name == "UnknownTags" || slices.Contains(followers, name) {
			continue
		}
		g.value(name, v.Field(i), depth)
	}
}

func (g *generator) value(name string, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		g.structure(v, depth+1)
	case reflect.Bool:
		v.SetBool(g.rnd.IntN(2) == 0)
	case reflect.String:
		v.SetString(g.word(name))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if all, ok := numbers[name]; ok {
			v.SetInt(pick(g.rnd, all))
		}
	case reflect.Pointer:
		// A null is as good as any value; what is null by default mostly stays so.
		if g.rnd.IntN(3) == 0 {
			v.SetZero()
			return
		}
		at := reflect.New(v.Type().Elem())
		setDefault(at)
		g.value(name, at.Elem(), depth)
		v.Set(at)
	case reflect.Array:
		v.Set(reflect.ValueOf(g.id()))
	case reflect.Slice:
		g.slice(name, v, depth)
	}
}

func (g *generator) slice(name string, v reflect.Value, depth int) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes(g.bytes(name))
		return
	}
	n := []int{1, 1, 1, 2, 2, 0, -1}[g.rnd.IntN(7)]
	if depth > 0 && strings.HasPrefix(name, "Partition") {
		n = max(n, 1) // what becomes of a topic without partitions depends on the hash maps of Kafka's handlers
	}
	if n < 0 {
		v.SetZero()
		return
	}
	all := reflect.MakeSlice(v.Type(), n, n)
	seen := map[string]bool{}
	for i := range n {
		// Elements are told apart by their first field. Kafka merges those that share it, in ways that nobody relies on.
		for range 20 {
			setDefault(all.Index(i).Addr())
			g.value(name, all.Index(i), depth+1)
			if !seen[firstField(all.Index(i))] {
				break
			}
		}
		seen[firstField(all.Index(i))] = true
	}
	v.Set(all)
}

func firstField(v reflect.Value) string {
	if v.Kind() == reflect.Struct {
		return fmt.Sprint(v.Field(0).Interface())
	}
	return fmt.Sprint(v.Interface())
}

// setDefault gives a structure of kmsg the values that the protocol's schema has.
func setDefault(at reflect.Value) {
	if d, ok := at.Interface().(interface{ Default() }); ok {
		d.Default()
	}
}

func (g *generator) word(name string) string {
	all, ok := words[g.name+"."+name]
	if !ok {
		all, ok = words[name]
	}
	if !ok {
		return []string{"x", ""}[g.rnd.IntN(2)]
	}
	return pick(g.rnd, all)
}

func (g *generator) id() [16]byte {
	switch g.rnd.IntN(4) {
	case 0, 1, 2:
		return g.ids[[]string{"one", "three"}[g.rnd.IntN(2)]]
	}
	return [16]byte{1: 'n', 2: 'o', 15: 1} // unknown
}

// created is the time of all records: now, so that retention leaves them alone.
var created = time.Now().Truncate(time.Millisecond)

// bytes makes record batches, sound and damaged, and nonsense for other fields.
func (g *generator) bytes(name string) []byte {
	if name != "Records" {
		return []byte([]string{"", "abc", "\x00\x01\x00\x00\x00\x00"}[g.rnd.IntN(3)])
	}
	g.batch.Reset(created)
	for range 1 + g.rnd.IntN(3) {
		g.batch.Add([]byte("value"))
	}
	b := slices.Clone(g.batch.Bytes())
	switch g.rnd.IntN(8) {
	case 0:
		b[len(b)-1] ^= 0xff // the checksum is wrong
	case 1:
		b[16] = 1 // a batch of the old format
	case 2:
		b = b[:len(b)-3]
	case 3:
		b = append(b, b...)
	case 4:
		return []byte{} // none at all (null) leaves Apache Kafka 4.3.1 without an answer
	}
	return b
}

func pick[T any](rnd *rand.Rand, all []T) T {
	// The first half, which is ordinary, twice as often as the rest.
	if rnd.IntN(3) > 0 {
		all = all[:(len(all)+1)/2]
	}
	return all[rnd.IntN(len(all))]
}
