package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestNotCoordinatorAndLoading(t *testing.T) { // 130, 154
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 1)
	check := func(state string, join, sync, heartbeat, commit, other int16) {
		t.Helper()
		wantCode(t, state+": join", h.send(joinReq("g", ids[0])).code(t), join)
		wantCode(t, state+": sync", h.send(syncReq("g", gen, ids[0])).code(t), sync)
		wantCode(t, state+": heartbeat", h.heartbeat("g", gen, ids[0]), heartbeat)
		wantCode(t, state+": leave", h.leave("g", "m"), other)
		wantCode(t, state+": commit", h.send(commitReq("g", gen, ids[0], map[string]int64{"t0": 1})).code(t), commit)
		wantCode(t, state+": delete", h.send(deleteReq("g")).code(t), other)
		wantCode(t, state+": offset delete", h.send(offsetDeleteReq("g", "t0")).code(t), other)
		wantCode(t, state+": describe", h.describe("g").ErrorCode, other)
		for v := int16(1); v <= 10; v++ {
			r := kmsg.NewPtrOffsetFetchRequest()
			r.Version, r.Group = v, "g"
			r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t0", Partitions: []int32{0}}}
			r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}}
			resp := h.send(r).resp.(*kmsg.OffsetFetchResponse)
			got := resp.ErrorCode
			if v >= 8 {
				got = resp.Groups[0].ErrorCode
			} else if v < 2 {
				got = resp.Topics[0].Partitions[0].ErrorCode
			}
			wantCode(t, fmt.Sprintf("%s: fetch version %d", state, v), got, other)
		}
	}
	h.c.Unload(0)
	check("unloaded", codeNotCoordinator, codeNotCoordinator, codeNotCoordinator, codeNotCoordinator, codeNotCoordinator)
	h.epoch++
	err := h.c.Load(0, h.epoch, h.log, func(yield func(key, value []byte, timestamp int64) error) error {
		check("loading", codeCoordinatorLoading, codeRebalanceInProgress, 0, codeCoordinatorLoading, codeCoordinatorLoading)
		if r := h.send(listReq(nil, nil)).resp.(*kmsg.ListGroupsResponse); r.ErrorCode != codeCoordinatorLoading {
			t.Fatalf("list: %+v", r)
		}
		return h.log.replay(yield)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "loaded", h.heartbeat("g", gen, ids[0]), 0)
}

func TestLoadAndUnloadOrder(t *testing.T) {
	h := newHarness(t, nil)
	noRecords := func(func(key, value []byte, timestamp int64) error) error { return nil }
	if err := h.c.Load(0, h.epoch, h.log, noRecords, nil); !errors.Is(err, ErrStaleEpoch) {
		t.Fatal(err)
	}
	if err := h.c.Load(1, 1, h.log, noRecords, nil); err == nil {
		t.Fatal("partition 1 of 1 was loaded")
	}
	h.commit("g", "t0", 7)
	// Unload while loading stops the replay.
	h.epoch++
	err := h.c.Load(0, h.epoch, h.log, func(yield func(key, value []byte, timestamp int64) error) error {
		h.c.Unload(0)
		return h.log.replay(yield)
	}, nil)
	if !errors.Is(err, ErrNotCoordinator) {
		t.Fatal(err)
	}
	// So does a newer election, which wins.
	h.epoch++
	err = h.c.Load(0, h.epoch, h.log, func(yield func(key, value []byte, timestamp int64) error) error {
		h.load()
		return h.log.replay(yield)
	}, nil)
	if !errors.Is(err, ErrNotCoordinator) {
		t.Fatal(err)
	}
	if o := h.fetch("g", "t0"); o != 7 {
		t.Fatalf("offset %d", o)
	}
	// A failed replay leaves the partition unloaded.
	h.epoch++
	if err := h.c.Load(0, h.epoch, h.log, func(func(key, value []byte, timestamp int64) error) error { return errDisk }, nil); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	wantCode(t, "after failed load", h.describe("g").ErrorCode, codeNotCoordinator)
	h.c.Close()
	if err := h.c.Load(0, 100, h.log, noRecords, nil); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestUnloadAnswersHeldRequests(t *testing.T) {
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 2)
	ids2, gen2 := h.stableGroup("h", 2)
	join := h.send(joinReq("g", ids[0]))
	h.send(joinReq("h", ids2[0]))
	h.send(joinReq("h", ids2[1]))
	follower := h.send(syncReq("h", gen2+1, ids2[1]))
	h.log.held = true
	leader := h.send(syncReq("h", gen2+1, ids2[0], ids2[0], "x"))
	commit := h.send(commitReq("g2", -1, "", map[string]int64{"t0": 1}))
	del := h.send(deleteReq("nosuch"))
	h.c.Unload(0)
	wantCode(t, "join", join.code(t), codeNotCoordinator)
	wantCode(t, "follower", follower.code(t), codeNotCoordinator)
	wantCode(t, "leader", leader.code(t), codeNotCoordinator)
	wantCode(t, "delete", del.code(t), codeGroupIDNotFound)
	if !commit.held() {
		t.Fatal("the commit is answered before its outcome is known")
	}
	h.log.release()
	wantCode(t, "commit", commit.code(t), 0)
	h.log.held = false
	h.load()
	if h.fetch("g2", "t0") != 1 {
		t.Fatal("acknowledged commit is lost")
	}
	wantCode(t, "g", h.heartbeat("g", gen, ids[0]), 0) // as it was last recorded
}

func TestFailedAppends(t *testing.T) {
	for _, c := range []struct {
		err                  error
		group, commit, admin int16
	}{
		{errDisk, codeCoordinatorNotAvailable, codeCoordinatorNotAvailable, codeCoordinatorNotAvailable},
		{fmt.Errorf("fenced: %w", ErrNotCoordinator), codeNotCoordinator, codeNotCoordinator, codeNotCoordinator},
		{fmt.Errorf("2 MiB: %w", ErrTooLarge), codeUnknownServerError, codeInvalidCommitOffsetSize, codeUnknownServerError},
	} {
		h := newHarness(t, nil)
		h.commit("old", "t0", 5)
		ids, gen := h.stableGroup("g", 2)
		h.send(joinReq("g", ids[0]))
		h.send(joinReq("g", ids[1]))
		gen++
		h.log.fail = c.err
		follower := h.send(syncReq("g", gen, ids[1]))
		leader := h.send(syncReq("g", gen, ids[0], ids[0], "x", ids[1], "y"))
		wantCode(t, "leader", leader.code(t), c.group)
		wantCode(t, "follower", follower.code(t), c.group)
		h.wantState("g", "PreparingRebalance") // all over again
		wantCode(t, "commit", h.send(commitReq("old", -1, "", map[string]int64{"t0": 6})).code(t), c.commit)
		wantCode(t, "commit of a new group", h.send(commitReq("new", -1, "", map[string]int64{"t0": 6})).code(t), c.commit)
		wantCode(t, "delete", h.send(deleteReq("old")).code(t), c.admin)
		wantCode(t, "offset delete", h.send(offsetDeleteReq("old", "t0")).code(t), c.admin)
		if o := h.fetch("old", "t0"); o != 5 {
			t.Fatalf("offset %d", o)
		}
		h.wantState("new", "Dead")
		h.log.fail = nil
		h.send(joinReq("g", ids[0]))
		wantCode(t, "join after recovery", h.send(joinReq("g", ids[1])).code(t), 0)
		h.syncAll("g", gen+1, ids)
		wantCode(t, "delete after recovery", h.send(deleteReq("old")).code(t), 0)
	}
}

func TestRebalanceWhileAssignmentIsAppended(t *testing.T) {
	for _, fail := range []error{nil, errDisk} {
		h := newHarness(t, nil)
		ids, gen := h.stableGroup("g", 3)
		for _, id := range ids {
			h.send(joinReq("g", id))
		}
		h.log.held = true
		h.log.fail = fail
		leader := h.send(syncReq("g", gen+1, ids[0], ids[1], "stale"))
		h.leave("g", ids[2])
		wantCode(t, "leader", leader.code(t), codeRebalanceInProgress)
		h.log.fail = nil
		j := h.send(joinReq("g", ids[0]))
		h.send(joinReq("g", ids[1]))
		if r := j.join(t); r.Generation != gen+2 {
			t.Fatalf("%+v", r)
		}
		h.log.release() // the outcome of the old assignment
		h.log.held = false
		h.wantState("g", "CompletingRebalance")
		h.syncAll("g", gen+2, ids[:2])
	}
}

func TestFailoverKeepsGroups(t *testing.T) { // 138, 164
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 3)
	wantCode(t, "commit", h.send(commitReq("g", gen, ids[1], map[string]int64{"t0": 42, "t1": 43})).code(t), 0)
	before := h.describe("g")
	h.failover()
	after := h.describe("g")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Fatalf("%+v\nbecame %+v", before, after)
	}
	for _, id := range ids {
		wantCode(t, "heartbeat", h.heartbeat("g", gen, id), 0)
		if r := h.send(syncReq("g", gen, id)).sync(t); string(r.MemberAssignment) != "a"+id {
			t.Fatalf("%+v", r)
		}
	}
	if h.fetch("g", "t0") != 42 || h.fetch("g", "t1") != 43 {
		t.Fatal("offsets are lost")
	}
	// Sessions start anew with the load, and still end.
	h.clock.advance(9 * time.Second)
	h.failover()
	h.clock.advance(9 * time.Second)
	h.wantState("g", "Stable")
	h.clock.advance(time.Second)
	h.wantState("g", "Empty")
	h.failover()
	h.wantState("g", "Empty")
	if r := h.send(listReq(nil, nil)).resp.(*kmsg.ListGroupsResponse); len(r.Groups) != 1 || r.Groups[0].ProtocolType != "consumer" {
		t.Fatalf("%+v", r)
	}
}

func TestLoadAppliesTheSizeLimit(t *testing.T) {
	h := newHarness(t, nil)
	ids, gen := h.stableGroup("g", 3)
	h2 := newHarness(t, func(o *Options) { o.MaxSize = 2 })
	h2.log.records = h.log.records
	h2.failover()
	wantCode(t, "heartbeat", h2.heartbeat("g", gen, ids[0]), codeRebalanceInProgress)
	a, b := h2.send(joinReq("g", ids[2])), h2.send(joinReq("g", ids[1]))
	wantCode(t, "third", h2.send(joinReq("g", ids[0])).code(t), codeGroupMaxSizeReached)
	if a.code(t) != 0 || b.code(t) != 0 {
		t.Fatal("the first two do not stay")
	}
}

func TestOutbox(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.MaxBatchBytes = 10_000 })
	h.log.held = true
	first := h.send(commitReq("g", -1, "", map[string]int64{"t0": 1}))
	// One change over the limit is split, and answered once, when all of it is durable.
	big := commitReq("g", -1, "", nil)
	topic := kmsg.OffsetCommitRequestTopic{Topic: "t1"}
	for p := range int32(300) {
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset = p, int64(p)
		topic.Partitions = append(topic.Partitions, part)
	}
	big.Topics = append(big.Topics, topic)
	split := h.send(big)
	if n := len(h.log.waiting); n < 3 {
		t.Fatalf("%d batches", n)
	}
	for len(h.log.waiting) > 1 {
		if !split.held() {
			t.Fatal("answered too early")
		}
		f := h.log.waiting[0]
		h.log.waiting = h.log.waiting[1:]
		f()
	}
	h.log.release()
	wantCode(t, "first", first.code(t), 0)
	wantCode(t, "split", split.code(t), 0)

	// Outcomes that come in another order are taken in the order of the appends.
	a := h.send(commitReq("g", -1, "", map[string]int64{"t0": 10}))
	b := h.send(commitReq("g", -1, "", map[string]int64{"t0": 11}))
	h.log.waiting[1]()
	if !b.held() {
		t.Fatal("answered before the append in front of it")
	}
	h.log.waiting[0]()
	h.log.waiting = nil
	if a.code(t) != 0 || b.code(t) != 0 || h.fetch("g", "t0") != 11 {
		t.Fatalf("offset %d", h.fetch("g", "t0"))
	}

	// A record that no batch may have room for fails alone.
	h.log.held, h.log.tooBig = false, 1000
	meta := commitReq("g", -1, "", map[string]int64{"t2": 1})
	s := strings.Repeat("m", 2000)
	meta.Topics[0].Partitions[0].Metadata = &s
	wantCode(t, "giant", h.send(meta).code(t), codeInvalidCommitOffsetSize)
	h.commit("g", "t2", 2)
}

// A log that comes back into the coordinator from inside Append, as an engine may whose log fails at once.
func TestChangesShareBatches(t *testing.T) {
	h := newHarness(t, nil)
	inner := &sharingLog{memLog: h.log}
	h.epoch++
	if err := h.c.Load(0, h.epoch, inner, h.log.replay, nil); err != nil {
		t.Fatal(err)
	}
	var calls []*call
	inner.during = func() {
		for i := range 100 {
			calls = append(calls, h.send(commitReq(fmt.Sprintf("g%d", i), -1, "", map[string]int64{"t0": int64(i)})))
		}
	}
	h.commit("g", "t0", 1)
	for _, k := range calls {
		wantCode(t, "commit", k.code(t), 0)
	}
	if len(h.log.batches) != 2 || h.log.batches[1] != 100 {
		t.Fatalf("batches of %v records", h.log.batches)
	}
}

type sharingLog struct {
	*memLog
	during func()
}

func (l *sharingLog) Append(batch []byte, done func(err error)) {
	if f := l.during; f != nil {
		l.during = nil
		f()
	}
	l.memLog.Append(batch, done)
}
