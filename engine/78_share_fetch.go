package engine

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
)

// ShareFetch (key 78), versions 1 to 2: acknowledgements, then records for a member of a share group.
//
//	v2 acquire mode (KIP-1206), renewed locks (KIP-1222)
//
// Runs on a goroutine of the request, which waits when there is nothing. Different from Fetch: record bytes are copied into the answer. It is bounded as
// that of Fetch is.

// shareFetchOp is one request.
type shareFetchOp struct {
	b         *Broker
	r         *request
	req       *kmsg.ShareFetchRequest
	group     string
	member    string
	session   *shareSession
	committed bool
	limits    share.Limits
	deadline  time.Time
	maxBytes  int
	places    []sharePlace // to fetch from

	order  []sharePlace // of the answer
	result map[sharePlace]*kmsg.ShareFetchResponseTopicPartition
}

func shareFetch(r *request) {
	req := r.body.(*kmsg.ShareFetchRequest)
	fail := func(code kproto.ErrorCode, message string) {
		resp := kmsg.NewPtrShareFetchResponse()
		resp.ErrorCode = int16(code)
		if message != "" {
			resp.ErrorMessage = &message
		}
		r.reply(resp)
	}
	if !r.broker.shareProtocol() {
		fail(kproto.UnsupportedVersion, "")
		return
	}
	if message := badShareMember(req.GroupID, req.MemberID); message != "" {
		fail(kproto.InvalidRequest, message)
		return
	}
	renew := req.Version >= 2 && req.IsRenewAck
	if renew && (req.MaxBytes != 0 || req.MinBytes != 0 || req.MaxRecords != 0 || req.MaxWaitMillis != 0) {
		fail(kproto.InvalidRequest, "max bytes, min bytes, max records and max wait must be 0 if isRenewAck is true.")
		return
	}
	b := r.broker
	op := &shareFetchOp{
		b: b, r: r, req: req, group: *req.GroupID, member: *req.MemberID, committed: b.shareCommitted(*req.GroupID), limits: b.shareLimits(*req.GroupID),
		deadline: r.arrived.Add(time.Duration(max(req.MaxWaitMillis, 0)) * time.Millisecond), result: make(map[sharePlace]*kmsg.ShareFetchResponseTopicPartition),
	}
	acks := op.acks()
	if code := op.resolve(len(acks) > 0); code != kproto.None {
		if code == kproto.ShareSessionLimitReached {
			op.idle() // the client would ask again at once
		}
		fail(code, "")
		return
	}
	acknowledged := b.acknowledge(r, op.group, op.member, acks, req.Version >= 2, renew)
	if !renew && req.ShareSessionEpoch != shareSessionEnd {
		op.fetch()
	}
	for place, err := range acknowledged() {
		p := op.at(place)
		p.AcknowledgeErrorCode, p.AcknowledgeErrorMessage = said(err)
	}
	if req.ShareSessionEpoch == shareSessionEnd {
		b.shares.end(op.session)
	}
	r.reply(op.response())
}

// badShareMember says what is wrong with the names of a request.
func badShareMember(group, member *string) string {
	switch {
	case group == nil:
		return "Invalid group id in the request."
	case member == nil || *member == "" || len(*member) > 36:
		return "Invalid member id in the request."
	}
	return ""
}

// acks are the acknowledgements of the request.
func (op *shareFetchOp) acks() map[sharePlace][]share.Ack {
	out := make(map[sharePlace][]share.Ack)
	for i := range op.req.Topics {
		t := &op.req.Topics[i]
		for k := range t.Partitions {
			p := &t.Partitions[k]
			for _, x := range p.AcknowledgementBatches {
				at := sharePlace{t.TopicID, p.Partition}
				out[at] = append(out[at], share.Ack{First: x.FirstOffset, Last: x.LastOffset, Types: x.AcknowledgeTypes})
			}
		}
	}
	return out
}

// resolve finds or opens the session, and lists what is to be fetched.
func (op *shareFetchOp) resolve(acks bool) kproto.ErrorCode {
	t, m := op.b.shares, shareMember{op.group, op.member}
	var listed, forgotten []sharePlace
	seen := make(map[sharePlace]bool)
	for i := range op.req.Topics {
		rt := &op.req.Topics[i]
		for k := range rt.Partitions {
			if p := (sharePlace{rt.TopicID, rt.Partitions[k].Partition}); !seen[p] {
				seen[p] = true
				listed = append(listed, p)
			}
		}
	}
	for _, ft := range op.req.ForgottenTopicsData {
		for _, index := range ft.Partitions {
			forgotten = append(forgotten, sharePlace{ft.TopicID, index})
		}
	}
	var code kproto.ErrorCode
	if op.req.ShareSessionEpoch == shareSessionBegin {
		if acks {
			return kproto.InvalidRequest
		}
		if op.session, code = t.open(m, listed); code == kproto.None {
			op.places = listed
			op.r.conn.shareSession.Store(op.session)
			if op.r.conn.closed.Load() { // it may have been closed before the session was noted
				t.end(op.session)
			}
		}
		return code
	}
	if op.session, code = t.find(m, op.req.ShareSessionEpoch); code == kproto.None && op.req.ShareSessionEpoch != shareSessionEnd {
		op.places = t.update(op.session, listed, forgotten)
	}
	return code
}

// idle waits until the request's time is up.
func (op *shareFetchOp) idle() {
	timer := time.NewTimer(time.Until(op.deadline))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-op.b.serving.Done():
	}
}

// at is the place of a partition in the answer.
func (op *shareFetchOp) at(place sharePlace) *kmsg.ShareFetchResponseTopicPartition {
	if p := op.result[place]; p != nil {
		return p
	}
	p := kmsg.NewShareFetchResponseTopicPartition()
	p.Partition, p.Records = place.index, []byte{}
	op.result[place] = &p
	op.order = append(op.order, place)
	return &p
}

func (op *shareFetchOp) refuse(place sharePlace, err *sharestate.Error) {
	p := op.at(place)
	p.ErrorCode, p.ErrorMessage = said(err)
}

// fetch acquires records, and waits for some if there are none.
func (op *shareFetchOp) fetch() {
	op.maxBytes = min(int(max(op.req.MaxBytes, 0)), op.b.cfg.Fetch.MaxBytes, fetchResponseBytes)
	if op.r.meter != nil {
		if most, ok := op.r.meter.MostAtOnce(quota.Fetch); ok {
			op.maxBytes = int(min(float64(op.maxBytes), most))
		}
	}
	parts := op.partitions()
	if len(parts) == 0 || op.maxBytes == 0 || op.req.MaxRecords <= 0 {
		return
	}
	w := newShareWaiter()
	watches := make([]partition.Watch, len(parts))
	for i, sp := range parts {
		sp.part.Watch(&watches[i], w)
		sp.watch(w)
	}
	defer func() {
		for i, sp := range parts {
			watches[i].Unwatch()
			sp.unwatch(w)
		}
	}()
	timer := time.NewTimer(time.Until(op.deadline))
	defer timer.Stop()
	for last := false; !last; {
		last = !time.Now().Before(op.deadline) || op.b.closing.Load()
		if op.acquire(parts, last) {
			return
		}
		if last {
			return
		}
		select {
		case <-w.wake:
		case <-timer.C:
		case <-op.session.gone:
			return
		case <-op.b.serving.Done():
			return
		}
	}
}

// partitions are those that can be fetched from; the answer says why others cannot.
func (op *shareFetchOp) partitions() (parts []*sharePartition) {
	ctx, cancel := context.WithDeadline(op.b.serving, max2(op.deadline, time.Now().Add(shareLoadGrace)))
	defer cancel()
	start := 0
	if n := len(op.places); n > 0 {
		start = int(op.req.ShareSessionEpoch) % n // each has its turn to be the first
	}
	for i := range op.places {
		place := op.places[(start+i)%len(op.places)]
		name, known := op.b.nameOfTopic(nil, place.topic, true)
		switch {
		case !known:
			op.refuse(place, &sharestate.Error{Code: kproto.UnknownTopicID, Message: "This server does not host this topic ID."})
			continue
		case op.b.authorizer != nil && !op.r.conn.asker(op.b).topic(opRead, name):
			op.refuse(place, &sharestate.Error{Code: kproto.TopicAuthorizationFailed, Message: "Topic authorization failed."})
			continue
		}
		p, code := op.b.partitionByName(name, place.topic, true, place.index)
		if code != kproto.None {
			op.refuse(place, &sharestate.Error{Code: code})
			continue
		}
		parts = append(parts, op.b.shares.partition(op.group, p))
	}
	ready := parts[:0]
	for _, sp := range parts {
		if err := sp.wait(ctx); err != nil {
			if ctx.Err() == nil {
				op.refuse(sp.place(), err)
			}
			continue
		}
		ready = append(ready, sp)
	}
	return ready
}

// shareLoadGrace is how long a fetch waits at least for states that are being read.
const shareLoadGrace = 500 * time.Millisecond

func max2(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (sp *sharePartition) place() sharePlace { return sharePlace{sp.key.Topic, sp.key.Partition} }

// shareRead is what was read of a partition, to be acquired.
type shareRead struct {
	sp     *sharePartition
	offset int64
	slices []s3stream.Slice
	bytes  int
}

// acquire makes one attempt, and reports whether there is anything to answer. What was read and is too little is left alone, unless this is the last attempt.
func (op *shareFetchOp) acquire(parts []*sharePartition, last bool) bool {
	var reads []*shareRead
	total, answered := 0, len(op.order) > 0
	defer func() {
		for _, rd := range reads {
			for i := range rd.slices {
				rd.slices[i].Mem.Unref()
			}
			rd.sp.endFetch()
		}
	}()
	room := op.r.conn.conn.OutboundRoom() - op.b.coldBytes.Load()
	most := int(min(int64(op.maxBytes), max(room, 0)/fetchRoomShare))
	for _, sp := range parts {
		if total > 0 && total >= most {
			break
		}
		offset, ok := sp.beginFetch(op.limits)
		if !ok {
			if sp.part.Resigned() || sp.isFenced() {
				op.refuse(sp.place(), &sharestate.Error{Code: kproto.NotLeaderOrFollower})
				answered = true
			}
			continue
		}
		rd := &shareRead{sp: sp, offset: offset}
		reads = append(reads, rd)
		code := op.read(rd, max((most-total)/max(len(parts), 1), 1), total == 0)
		total += rd.bytes
		switch code {
		case kproto.None:
		case kproto.OffsetOutOfRange:
			sp.moveStart()
			answered = answered || last
		default:
			op.refuse(sp.place(), &sharestate.Error{Code: code})
			answered = true
		}
	}
	if total == 0 || total < min(int(op.req.MinBytes), most) && !last && !answered {
		return answered
	}
	left := int64(op.req.MaxRecords)
	for _, rd := range reads {
		if rd.bytes > 0 {
			n := op.take(rd, left)
			left -= n
			answered = answered || n > 0
		}
	}
	return answered
}

// beginFetch says where to read, and keeps others from reading the same; ok is false when there is nothing to be had, or somebody else reads.
func (sp *sharePartition) beginFetch(limits share.Limits) (offset int64, ok bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.fenced || sp.fetching || sp.records.Full(limits) {
		return 0, false
	}
	sp.fetching = true
	return sp.records.Next(), true
}

func (sp *sharePartition) endFetch() {
	sp.mu.Lock()
	sp.fetching = false
	sp.wakeLocked()
	sp.mu.Unlock()
}

func (sp *sharePartition) isFenced() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.fenced
}

// moveStart follows the log, whose start has moved.
func (sp *sharePartition) moveStart() {
	sp.mu.Lock()
	sp.records.MoveStart(sp.part.LogStart())
	sp.mu.Unlock()
}

// read reads whole batches from the log cache, or else from the object store.
func (op *shareFetchOp) read(rd *shareRead, most int, atLeastOne bool) kproto.ErrorCode {
	p := rd.sp.part
	slices, pos, code, err := p.Read(nil, rd.offset, most, atLeastOne, op.committed)
	if code == kproto.OffsetOutOfRange && rd.offset > pos.HighWatermark {
		return kproto.None // the group's start lies where the log does not reach yet
	}
	if errors.Is(err, partition.ErrCold) {
		slices, code = op.readCold(p, rd.offset, most, atLeastOne)
	}
	rd.slices = slices
	for i := range slices {
		rd.bytes += len(slices[i].Data)
	}
	return code
}

func (op *shareFetchOp) readCold(p *partition.Partition, offset int64, most int, atLeastOne bool) (slices []s3stream.Slice, code kproto.ErrorCode) {
	ctx, cancel := context.WithTimeout(op.b.serving, coldReadTimeout)
	defer cancel()
	op.b.coldBytes.Add(int64(most))
	defer op.b.coldBytes.Add(-int64(most))
	done := make(chan struct{})
	op.b.coldReads.GoContext(ctx, func() {
		defer close(done)
		var err error
		if slices, _, code, err = p.ReadCold(ctx, offset, most, atLeastOne, op.committed); err != nil && op.b.coldErrors.allow() {
			op.b.log.Error("read from the object store failed", "topic", p.Topic, "partition", p.Index, "offset", offset, "cause", err)
		}
	})
	<-done
	return slices, code
}

// take acquires what was read, and puts it into the answer. It returns the number of records.
func (op *shareFetchOp) take(rd *shareRead, most int64) (n int64) {
	var extents []share.Extent
	var batches []kproto.Batch
	for i := range rd.slices {
		_ = kproto.SplitBatches(rd.slices[i].Data, func(batch kproto.Batch) error {
			extents, batches = append(extents, share.Extent{First: batch.BaseOffset(), Last: batch.LastOffset()}), append(batches, batch)
			return nil
		})
	}
	q := share.Acquisition{
		Member: op.member, Now: nowMillis(), FetchOffset: rd.offset, Extents: extents, MaxRecords: most, BatchSize: int64(max(op.req.BatchSize, 1)),
		RecordLimit: op.req.Version >= 2 && op.req.ShareAcquireMode == 1, Limits: op.limits,
	}
	if op.committed && len(batches) > 0 {
		q.Aborted = abortedBatches(batches, rd.sp.part.Aborted(nil, rd.offset, extents[len(extents)-1].Last+1))
	}
	sp := rd.sp
	sp.mu.Lock()
	if sp.fenced {
		sp.mu.Unlock()
		return 0
	}
	got := sp.records.Acquire(&q)
	sp.armLocked()
	sp.mu.Unlock()
	if len(got) == 0 {
		return 0
	}
	select {
	case <-op.session.gone: // nobody is there any more
		sp.change(func(r *share.Records) (share.Change, *share.Refusal) { return r.Release(op.member, op.limits), nil }, func(*sharestate.Error) {})
		return 0
	default:
	}
	p := op.at(sp.place())
	for _, d := range got {
		a := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
		a.FirstOffset, a.LastOffset, a.DeliveryCount = d.First, d.Last, d.Deliveries
		p.AcquiredRecords = append(p.AcquiredRecords, a)
		n += d.Last - d.First + 1
	}
	first, last := got[0].First, got[len(got)-1].Last
	for i, batch := range batches {
		if extents[i].Last >= first && extents[i].First <= last {
			p.Records = append(p.Records, batch...)
		}
	}
	sp.part.Served(len(p.Records))
	op.b.metrics.fetchedBytes.Add(int64(len(p.Records)))
	op.b.metrics.shareAcquired.Add(n)
	return n
}

// abortedBatches are the batches of aborted transactions, as a reader of committed records finds them: a producer's from its first offset to its marker.
func abortedBatches(batches []kproto.Batch, txns []kproto.AbortedTxn) (out []share.Extent) {
	open := make(map[int64]bool)
	for _, batch := range batches {
		rest := txns[:0]
		for _, a := range txns {
			if a.FirstOffset <= batch.LastOffset() {
				open[a.ProducerID] = true
			} else {
				rest = append(rest, a)
			}
		}
		txns = rest
		if !batch.IsTransactional() {
			continue
		}
		if batch.IsControl() {
			if m, ok := partition.ParseMarker(batch); ok && !m.Commit {
				delete(open, m.ProducerID)
			}
			continue
		}
		if open[batch.ProducerID()] {
			out = append(out, share.Extent{First: batch.BaseOffset(), Last: batch.LastOffset()})
		}
	}
	return out
}

// response puts the answer together, topic by topic.
func (op *shareFetchOp) response() *kmsg.ShareFetchResponse {
	resp := kmsg.NewPtrShareFetchResponse()
	resp.AcquisitionLockTimeoutMillis = int32(op.limits.LockMillis)
	byTopic := make(map[kraft.TopicID]int)
	size := 0
	for _, place := range op.order {
		i, ok := byTopic[place.topic]
		if !ok {
			i = len(resp.Topics)
			byTopic[place.topic] = i
			t := kmsg.NewShareFetchResponseTopic()
			t.TopicID = place.topic
			resp.Topics = append(resp.Topics, t)
		}
		p := op.result[place]
		if movedLeader(p.ErrorCode) {
			p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = op.b.leaderOf("", place.topic, place.index)
			for _, e := range op.b.appendEndpoint(nil, p.CurrentLeader.LeaderID, op.r.conn.listener) {
				n := kmsg.NewShareFetchResponseNodeEndpoint()
				n.NodeID, n.Host, n.Port = e.ID, e.Host, e.Port
				if e.Rack != "" {
					n.Rack = &e.Rack
				}
				resp.NodeEndpoints = append(resp.NodeEndpoints, n)
			}
		}
		size += len(p.Records)
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, *p)
	}
	if op.r.meter != nil {
		op.r.wait = max(op.r.wait, op.r.meter.Record(quota.Fetch, float64(size+fetchHeadBytes+len(op.order)*fetchPartitionBytes)))
	}
	return resp
}

func movedLeader(code int16) bool {
	return code == int16(kproto.NotLeaderOrFollower) || code == int16(kproto.FencedLeaderEpoch)
}
