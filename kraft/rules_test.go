package kraft

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

var (
	seedFlag    = flag.Uint64("kraft.seed", 0, "seed of the random histories, 0: a new one each time")
	historyFlag = flag.Int("kraft.steps", 400, "steps of a random history")
)

// history drives a controller with random requests of brokers that behave, and of brokers that do not know that they have been replaced.
// Every request is made so that it has to be granted, or spoilt in a known way so that it has to be refused.
type history struct {
	*harness
	rng    *rand.Rand
	epochs map[int32]int64 // present epoch of each broker
	topics int
	refuse map[string]int // how often each way of spoiling was tried
}

func newHistory(t testing.TB, seed uint64) *history {
	return &history{
		harness: newHarness(t, nil), rng: rand.New(rand.NewPCG(seed, 1)), epochs: make(map[int32]int64), refuse: make(map[string]int),
	}
}

func (h *history) chance(percent int) bool { return h.rng.IntN(100) < percent }

// step makes one request.
func (h *history) step() {
	h.now = h.now.Add(time.Duration(h.rng.IntN(2000)) * time.Millisecond)
	if len(h.epochs) < 3 {
		id := int32(len(h.epochs)) + 1
		h.epochs[id] = h.broker(id)
		return
	}
	switch n := h.rng.IntN(100); {
	case n < 4:
		id := h.anyBroker()
		h.epochs[id] = h.broker(id)
	case n < 6:
		id := h.anyBroker()
		h.harness.heartbeat(id, h.epochs[id], h.chance(50))
	case n < 14:
		h.createTopic()
	case n < 17:
		h.removeTopic()
	case n < 20:
		h.configure()
	case n < 26:
		h.open()
	case n < 28:
		h.reassignOne()
	case n < 31:
		h.takeOver()
	case n < 34:
		h.closeOne()
	case n < 42:
		h.trim()
	case n < 45:
		h.sweep()
	case n < 50:
		h.now = h.now.Add(20 * time.Minute)
		h.beatAll()
		h.ctl.housekeeping()
	case n < 52:
		id := h.anyBroker()
		h.do(&kmsg.AllocateProducerIDsRequest{BrokerID: id, BrokerEpoch: h.epochs[id]})
	case n < 55:
		h.prepare(h.anyBrokerEpoch())
	case n < 72:
		h.upload()
	case n < 79:
		h.rewrite()
	default:
		h.compact()
	}
}

func (h *history) beatAll() {
	for id := int32(1); id <= int32(len(h.epochs)); id++ {
		h.harness.heartbeat(id, h.epochs[id], false)
	}
}

func (h *history) anyBroker() int32 { return h.rng.Int32N(int32(len(h.epochs))) + 1 }

func (h *history) anyBrokerEpoch() (int32, int64, int) {
	id := h.anyBroker()
	return id, h.epochs[id], h.rng.IntN(3) + 1
}

func (h *history) createTopic() {
	h.topics++
	leaders := make([]int32, h.rng.IntN(4)+1)
	for i := range leaders {
		leaders[i] = h.anyBroker()
	}
	h.topic(fmt.Sprintf("t%d", h.topics), leaders...)
}

func (h *history) anyTopic() *Topic {
	var all []*Topic
	h.image().Topics(func(t *Topic) bool {
		all = append(all, t)
		return true
	})
	if len(all) == 0 {
		return nil
	}
	return all[h.rng.IntN(len(all))]
}

func (h *history) removeTopic() {
	if t := h.anyTopic(); t != nil {
		h.deleteTopic(t.Name)
	}
}

func (h *history) configure() {
	t := h.anyTopic()
	if t == nil {
		return
	}
	value := fmt.Sprint(h.rng.IntN(10))
	op := kmsg.IncrementalAlterConfigOpSet
	if h.chance(40) {
		op = kmsg.IncrementalAlterConfigOpDelete
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: t.Name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: fmt.Sprintf("k%d", h.rng.IntN(4)), Op: op, Value: &value}},
	}}
	if r := h.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; r.ErrorCode != 0 {
		h.t.Fatalf("configure: code %d: %s", r.ErrorCode, *r.ErrorMessage)
	}
}

// anyStream returns a stream that satisfies ok.
func (h *history) anyStream(ok func(Stream) bool) (Stream, bool) {
	var all []Stream
	h.image().Streams(func(s Stream) bool {
		if ok(s) {
			all = append(all, s)
		}
		return true
	})
	if len(all) == 0 {
		return Stream{}, false
	}
	return all[h.rng.IntN(len(all))], true
}

// owned says that the stream's owner could use it now.
func owned(s Stream) bool { return s.Epoch >= 0 && !s.Closed }

// must requires that a request was granted, or refused with the error.
func (h *history) must(spoilt string, err, want error) {
	h.t.Helper()
	if spoilt == "" && err != nil {
		h.t.Fatalf("refused, but it is right: %v", err)
	}
	if spoilt != "" {
		h.refuse[spoilt]++
		if !errors.Is(err, want) {
			h.t.Fatalf("%s: got %v, want %v", spoilt, err, want)
		}
	}
}

func (h *history) open() {
	s, ok := h.anyStream(func(Stream) bool { return true })
	if !ok {
		return
	}
	p := h.image().TopicByID(s.Topic).Partitions[s.Partition]
	req := &OpenStreamRequest{Stream: s.ID, Epoch: int64(p.LeaderEpoch), Node: p.Leader, NodeEpoch: h.epochs[p.Leader]}
	switch h.rng.IntN(6) {
	case 0:
		req.NodeEpoch--
		h.must("open by an old registration", h.stream(req), ErrFenced)
	case 1:
		req.Epoch--
		h.must("open at an old epoch", h.stream(req), ErrFenced)
	case 2:
		req.Node = req.Node%3 + 1
		req.NodeEpoch = h.epochs[req.Node]
		h.must("open by another node", h.stream(req), ErrFenced)
	case 3:
		req.Epoch++
		h.must("open at an epoch not granted", h.stream(req), ErrInvalid)
	default:
		h.must("", h.stream(req), nil)
	}
}

// reassignOne asks for a move of any partition to any broker, or cancels it.
func (h *history) reassignOne() {
	t := h.anyTopic()
	if t == nil {
		return
	}
	i := h.rng.Int32N(int32(len(t.Partitions)))
	before := t.Partitions[i]
	to := h.anyBroker()
	if h.chance(20) {
		want := int16(85)
		if before.Target >= 0 {
			want = 0
		}
		if got := h.reassign(t.Name, true, assign{i, nil}); got[0] != want {
			h.t.Fatalf("cancel of %+v: code %d", before, got[0])
		}
		return
	}
	want := int16(0)
	if h.image().Broker(to).Fenced {
		want = 39
	}
	if got := h.reassign(t.Name, true, assign{i, []int32{to}}); got[0] != want {
		h.t.Fatalf("move of %+v to %d: code %d, want %d", before, to, got[0], want)
	}
	after := h.image().TopicByID(t.ID).Partitions[i]
	if want == 0 && after.Leader != to && after.Target != to {
		h.t.Fatalf("move of %+v to %d gives %+v", before, to, after)
	}
	// Whoever was to take it over before must not be able to any more.
	if before.Target >= 0 && after.Target != before.Target && after.LeaderEpoch <= before.LeaderEpoch {
		h.t.Fatalf("%+v becomes %+v", before, after)
	}
}

// takeOver opens a stream for the target of its partition.
func (h *history) takeOver() {
	s, ok := h.anyStream(func(s Stream) bool {
		return h.image().TopicByID(s.Topic).Partitions[s.Partition].Target >= 0
	})
	if !ok {
		return
	}
	p := h.image().TopicByID(s.Topic).Partitions[s.Partition]
	req := &OpenStreamRequest{Stream: s.ID, Epoch: int64(p.LeaderEpoch) + 1, Node: p.Target, NodeEpoch: h.epochs[p.Target], HandedOver: true, From: s.Node, FromEpoch: s.Epoch}
	switch h.rng.IntN(10) {
	case 0:
		req.Epoch--
		h.must("take over at an old epoch", h.stream(req), ErrFenced)
	case 1:
		req.Node = 6 - p.Leader - p.Target // the third
		req.NodeEpoch = h.epochs[req.Node]
		h.must("take over by a stranger", h.stream(req), ErrFenced)
	case 2:
		req.NodeEpoch--
		h.must("take over by an old registration", h.stream(req), ErrFenced)
	case 3:
		if !s.Closed {
			req.FromEpoch--
			h.must("handed over at another epoch", h.stream(req), ErrNotClosed)
		}
	case 4:
		if !s.Closed {
			req.From = req.Node
			h.must("handed over by somebody else", h.stream(req), ErrNotClosed)
		}
	case 5:
		req.HandedOver = false
		h.must("target opens without a handover", h.stream(req), ErrFenced)
	default:
		h.must("", h.stream(req), nil)
		if q := h.image().TopicByID(s.Topic).Partitions[s.Partition]; q.Leader != req.Node || int64(q.LeaderEpoch) != req.Epoch || q.Target != -1 {
			h.t.Fatalf("taken over by %d: %+v", req.Node, q)
		}
	}
}

func (h *history) closeOne() {
	s, ok := h.anyStream(owned)
	if !ok {
		return
	}
	req := &CloseStreamRequest{Stream: s.ID, Epoch: s.Epoch, Node: s.Node, NodeEpoch: h.epochs[s.Node]}
	if h.chance(30) {
		req.Epoch--
		h.must("close at an old epoch", h.stream(req), ErrFenced)
		return
	}
	h.must("", h.stream(req), nil)
}

func (h *history) trim() {
	s, ok := h.anyStream(owned)
	if !ok {
		return
	}
	req := &TrimStreamRequest{Stream: s.ID, Epoch: s.Epoch, Node: s.Node, NodeEpoch: h.epochs[s.Node]}
	req.Start = s.Start + h.rng.Int64N(max(1, s.End-s.Start)+5)
	switch h.rng.IntN(6) {
	case 0:
		req.Epoch--
		h.must("trim at an old epoch", h.stream(req), ErrFenced)
	case 1:
		req.NodeEpoch--
		h.must("trim by an old registration", h.stream(req), ErrFenced)
	default:
		h.must("", h.stream(req), nil)
	}
}

// sweep removes destroyed objects, as if they were gone from the bucket.
func (h *history) sweep() {
	node, epoch, _ := h.anyBrokerEpoch()
	ids := h.image().DestroyedObjects(nil, h.now.Add(-time.Second), 5)
	if h.chance(30) {
		live := ObjectID(0)
		h.image().ScanObjects(func(o Object) bool {
			if o.State == Committed {
				live = o.ID
			}
			return live == 0
		})
		if live != 0 {
			h.must("delete a live object", h.stream(&DeletedObjectsRequest{Node: node, NodeEpoch: epoch, IDs: []ObjectID{live}}), ErrConflict)
			return
		}
	}
	h.must("", h.stream(&DeletedObjectsRequest{Node: node, NodeEpoch: epoch, IDs: ids}), nil)
}

// upload commits new data of one node: a stream-set object and perhaps a stream object.
func (h *history) upload() {
	node := h.anyBroker()
	var mine []Stream
	h.image().Streams(func(s Stream) bool {
		if owned(s) && s.Node == node {
			mine = append(mine, s)
		}
		return true
	})
	if len(mine) == 0 {
		return
	}
	h.rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
	mine = mine[:h.rng.IntN(min(4, len(mine)))+1]
	first := h.prepare(node, h.epochs[node], 2)
	next := func(s Stream) Range {
		start := s.End
		if s.Start > s.End && h.chance(50) {
			start = s.Start // the rest was trimmed before it was uploaded
		}
		return Range{Stream: s.ID, Epoch: s.Epoch, Start: start, End: start + h.rng.Int64N(10) + 1, Bytes: 10, MaxTimestamp: h.now.UnixMilli()}
	}
	set := NewObject{ID: first, Kind: StreamSetObject, Size: 100}
	for _, s := range mine {
		set.Ranges = append(set.Ranges, next(s))
	}
	req := &CommitObjectsRequest{Node: node, NodeEpoch: h.epochs[node], Extends: true, New: []NewObject{set}}
	if last := len(set.Ranges) - 1; last > 0 && h.chance(50) {
		req.New[0].Ranges = set.Ranges[:last]
		req.New = append(req.New, NewObject{ID: first + 1, Kind: StreamObject, Size: 50, Ranges: []Range{set.Ranges[last]}})
	}
	x := &req.New[0].Ranges[h.rng.IntN(len(req.New[0].Ranges))]
	switch h.rng.IntN(14) {
	case 0:
		req.NodeEpoch--
		h.must("commit by an old registration", h.stream(req), ErrFenced)
	case 1:
		x.Epoch--
		h.must("commit at an old epoch", h.stream(req), ErrFenced)
	case 2:
		s, _ := h.image().Stream(x.Stream)
		x.Start, x.End = max(s.End, s.Start)+1, max(s.End, s.Start)+2
		h.must("commit with a gap", h.stream(req), ErrConflict)
	case 3:
		if s, _ := h.image().Stream(x.Stream); s.End > 0 {
			x.Start = s.End - 1
			h.must("commit that overlaps", h.stream(req), ErrConflict)
		}
	case 4:
		req.New[0].ID = first + 100
		h.must("commit of an object not prepared", h.stream(req), ErrConflict)
	case 5:
		other, ok := h.anyStream(func(s Stream) bool { return owned(s) && s.Node != node })
		if ok {
			*x = next(other)
			h.must("commit to a stream of another node", h.stream(req), ErrFenced)
		}
	case 6:
		other := node%3 + 1
		for i := range req.New {
			for j := range req.New[i].Ranges {
				req.New[i].Ranges[j].Epoch += 0
			}
		}
		req.Node, req.NodeEpoch = other, h.epochs[other]
		h.must("commit of another node's object", h.stream(req), ErrConflict)
	case 7:
		x.End = x.Start
		h.must("commit of an empty range", h.stream(req), ErrInvalid)
	default:
		h.must("", h.stream(req), nil)
		h.must("", h.stream(req), nil) // the answer to the first was lost
	}
}

// compact replaces objects by stream objects, as a split or a merge does.
func (h *history) compact() {
	var candidates []Object
	h.image().ScanObjects(func(o Object) bool {
		if o.State == Committed && (o.Kind == StreamSetObject || h.chance(30)) {
			candidates = append(candidates, o)
		}
		return true
	})
	if len(candidates) == 0 {
		return
	}
	h.rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	picked := candidates[:h.rng.IntN(min(3, len(candidates)))+1]
	req := &CommitObjectsRequest{}
	byStream := make(map[StreamID][]Range)
	for _, o := range picked {
		req.Compacted = append(req.Compacted, o.ID)
		for _, r := range o.Ranges {
			byStream[r.Stream] = append(byStream[r.Stream], r)
		}
	}
	var ids []StreamID
	for id := range byStream {
		if _, ok := h.image().Stream(id); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	req.Node = h.anyBroker()
	req.NodeEpoch = h.epochs[req.Node]
	next := h.prepare(req.Node, req.NodeEpoch, 30)
	live := false // some offset is needed, so that leaving it out is wrong
	for _, id := range ids {
		rs := byStream[id]
		slices.SortFunc(rs, compareRanges)
		s, _ := h.image().Stream(id)
		for i := 0; i < len(rs); {
			r := rs[i]
			j := i + 1
			for j < len(rs) && rs[j].Start == r.End && h.chance(80) {
				r.End, r.Bytes = rs[j].End, r.Bytes+rs[j].Bytes
				j++
			}
			if r.Start < s.Start && s.Start < r.End && i == 0 && h.chance(50) {
				r.Start = s.Start // what is trimmed need not be copied
			}
			i = j
			if r.End <= s.Start && r.End < s.End && len(rs) == i && len(req.New) == 0 && h.chance(50) {
				continue // nobody needs it
			}
			live = live || r.End > s.Start || r.End == s.End
			req.New = append(req.New, NewObject{ID: next, Kind: StreamObject, Size: 10, Ranges: []Range{r}})
			next++
		}
	}
	if len(req.New) == 0 || !live {
		h.must("", h.stream(req), nil)
		return
	}
	at := h.rng.IntN(len(req.New))
	x := &req.New[at].Ranges[0]
	s, _ := h.image().Stream(x.Stream)
	switch h.rng.IntN(8) {
	case 0:
		req.NodeEpoch--
		h.must("compaction by an old registration", h.stream(req), ErrFenced)
	case 1:
		x.End++
		h.must("compaction that adds offsets", h.stream(req), ErrConflict)
	case 2:
		if x.End-x.Start > 1 {
			x.End--
			h.must("compaction that loses the end", h.stream(req), ErrConflict)
		}
	case 3:
		if x.End > s.Start || x.End == s.End {
			req.New = slices.Delete(req.New, at, at+1)
			h.must("compaction that loses a range", h.stream(req), ErrConflict)
		}
	case 4:
		req.Compacted = append(req.Compacted, next+100)
		h.must("compaction of an unknown object", h.stream(req), ErrConflict)
	default:
		h.must("", h.stream(req), nil)
		if len(req.New) > 0 {
			h.must("", h.stream(req), nil)
		}
	}
}

// checkStep verifies what may change from one image to the next.
func checkStep(prev, next *Image) error {
	var err error
	prev.ScanObjects(func(o Object) bool {
		n, ok := next.Object(o.ID)
		switch {
		case !ok && o.State != Destroyed:
			err = fmt.Errorf("object %d in state %d is forgotten", o.ID, o.State)
		case ok && (n.State < o.State || o.State == Destroyed && n.State != Destroyed):
			err = fmt.Errorf("object %d goes from state %d to %d", o.ID, o.State, n.State)
		case ok && n.State == Committed && o.State == Committed && !subset(n.Ranges, o.Ranges):
			err = fmt.Errorf("object %d gets other ranges", o.ID)
		}
		return err == nil
	})
	next.ScanObjects(func(o Object) bool {
		if _, ok := prev.Object(o.ID); !ok && (o.ID < prev.NextObjectID() || o.State != Prepared) {
			err = fmt.Errorf("object %d appears in state %d, the next id was %d", o.ID, o.State, prev.NextObjectID())
		}
		return err == nil
	})
	prev.Streams(func(s Stream) bool {
		n, ok := next.Stream(s.ID)
		switch {
		case !ok:
			if next.TopicByID(s.Topic) != nil {
				err = fmt.Errorf("stream %d is gone, its topic is not", s.ID)
			}
		case n.Epoch < s.Epoch || n.Epoch == s.Epoch && n.Node != s.Node:
			err = fmt.Errorf("stream %d: owner goes from node %d at %d to node %d at %d", s.ID, s.Node, s.Epoch, n.Node, n.Epoch)
		case n.Start < s.Start || n.End < s.End:
			err = fmt.Errorf("stream %d: [%d, %d) becomes [%d, %d)", s.ID, s.Start, s.End, n.Start, n.End)
		case n.Cleaned < s.Cleaned || n.Cleaned > n.End:
			err = fmt.Errorf("stream %d up to %d: cleaned goes from %d to %d", s.ID, n.End, s.Cleaned, n.Cleaned)
		}
		if last, had := prev.LastObject(s.ID); err == nil && ok && had {
			// The object with the highest end carries the checkpoint: it goes only when another one takes its place.
			now, has := next.LastObject(s.ID)
			if !has || now.Object.State != Committed || now.End < last.End {
				err = fmt.Errorf("stream %d: the last object %d up to %d is followed by %d up to %d", s.ID, last.Object.ID, last.End, now.Object.ID, now.End)
			}
		}
		return err == nil
	})
	return err
}

func seeds(t *testing.T, n int) []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = rand.Uint64()
	}
	return all
}

func replayWith(t *testing.T, seed uint64) {
	if t.Failed() {
		t.Logf("replay: go test ./kraft -run '^%s$' -kraft.seed=%d -kraft.steps=%d", t.Name(), seed, *historyFlag)
	}
}

// TestStreamRules runs random histories: what is right is granted, what is wrong is refused, and every image obeys the rules.
func TestStreamRules(t *testing.T) {
	tried := make(map[string]int)
	for _, seed := range seeds(t, 10) {
		func() {
			defer replayWith(t, seed)
			h := newHistory(t, seed)
			img := h.image()
			for range *historyFlag {
				h.step()
				for _, e := range h.entries[img.Offset():] {
					next := applyOne(t, img, e)
					if err := next.Check(); err != nil {
						t.Fatal(err)
					}
					if err := checkStep(img, next); err != nil {
						t.Fatalf("entry %d: %v", e.index, err)
					}
					img = next
				}
			}
			for k, v := range h.refuse {
				tried[k] += v
			}
		}()
	}
	for k, v := range tried {
		t.Logf("%5d refused: %s", v, k)
	}
	if *seedFlag == 0 && len(tried) < 18 {
		t.Errorf("only %d ways of being wrong were tried", len(tried))
	}
}

func digest(t testing.TB, img *Image) uint64 {
	h := fnv.New64a()
	h.Write(encodeImage(t, img))
	return h.Sum64()
}

// TestSnapshotAndLog compares, at every offset, the image from the whole log with those from a snapshot at every offset before and the log behind it.
func TestSnapshotAndLog(t *testing.T) {
	for _, seed := range seeds(t, 2) {
		func() {
			defer replayWith(t, seed)
			h := newHistory(t, seed)
			digests := map[int64]uint64{h.image().Offset(): digest(t, h.image())}
			var images []*Image
			for range min(*historyFlag, 150) {
				h.step()
				if h.image().Offset() == int64(len(h.entries)) {
					digests[h.image().Offset()] = digest(t, h.image())
				}
			}
			// The log alone, as a follower applies it: one entry at a time.
			follower := image.New()
			for _, e := range h.entries {
				follower = applyOne(t, follower, e)
				images = append(images, follower)
				if want, ok := digests[e.index]; ok && digest(t, follower) != want {
					t.Fatalf("offset %d: the follower's image differs from the controller's", e.index)
				}
			}
			for i, img := range images {
				digests[int64(i)+1] = digest(t, img)
			}
			for i, img := range images {
				var file bytes.Buffer
				if err := snapfile.Write(&file, testCluster, img); err != nil {
					t.Fatal(err)
				}
				got, m, err := snapfile.Read(&file)
				if err != nil || m.Index != int64(i)+1 || m.ClusterID != testCluster {
					t.Fatalf("snapshot at %d: %+v, %v", i+1, m, err)
				}
				if digest(t, got) != digests[m.Index] {
					t.Fatalf("offset %d: the snapshot's image differs", m.Index)
				}
				for _, e := range h.entries[i+1:] {
					got = applyOne(t, got, e)
					if (e.index-m.Index)%7 == 1 || e.index == int64(len(h.entries)) {
						if digest(t, got) != digests[e.index] {
							t.Fatalf("offset %d: the image from the snapshot at %d differs", e.index, m.Index)
						}
					}
				}
			}
		}()
	}
}

func applyOne(t testing.TB, img *Image, e entry) *Image {
	t.Helper()
	b := img.Edit()
	if err := applyBatch(b, e); err != nil {
		t.Fatal(err)
	}
	next, _ := b.Build(e.index, e.term)
	return next
}

// TestSameSeedSameLog requires that a history is reproducible from its seed, apart from the random ids in it.
func TestSameSeedSameLog(t *testing.T) {
	run := func() []int {
		h := newHistory(t, 7)
		for range 200 {
			h.step()
		}
		var sizes []int
		for _, e := range h.entries {
			sizes = append(sizes, len(e.data))
		}
		return sizes
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Fatal("two runs of one seed differ")
	}
}
