package engine

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/record"
	"github.com/ringmq/ringmq/netpoll"
)

// Quotas of clients (package quota has the limits and the meters). A request that went over one is answered, with the time in its throttle_time_ms, and
// then its connection is not served for that long (KIP-219); a fetch is answered without data. While nobody has a quota a request costs one atomic load.
// controller_mutation_rate is counted by the active controller, for all brokers.

func newQuotas(c config.Quotas) *quota.Manager {
	return quota.New(quota.Options{
		Windows: quota.Windows{Number: c.Windows, Size: c.WindowSize},
	})
}

// followQuotas takes changed quotas.
func (b *Broker) followQuotas(next *kraft.Image, delta *kraft.Delta) {
	if !delta.Full && !slices.ContainsFunc(delta.Configs, func(r record.ConfigResource) bool { return r.Type == record.QuotaConfig }) {
		return
	}
	b.quotas.Set(func(add func(quota.Entity, map[string]float64)) {
		eachQuota(next, func(key string) bool { return key != mutationKey }, add)
	})
}

// mutationKey is the quota that the active controller enforces; brokers do the others.
var mutationKey = quota.Keys[quota.Mutation]

// eachQuota calls add for everybody who has quotas of the keys that count.
func eachQuota(img *kraft.Image, counts func(key string) bool, add func(quota.Entity, map[string]float64)) {
	kraft.Quotas(img, func(e kraft.QuotaEntity, values map[string]float64) bool {
		if _, ip := e[kraft.QuotaIP]; ip {
			return true
		}
		maps.DeleteFunc(values, func(key string, _ float64) bool { return !counts(key) })
		add(quota.Entity{User: quotaPart(e, kraft.QuotaUser), Client: quotaPart(e, kraft.QuotaClientID)}, values)
		return true
	})
}

func quotaPart(e kraft.QuotaEntity, kind string) quota.Part {
	name, ok := e[kind]
	switch {
	case !ok:
		return quota.None
	case name == nil:
		return quota.Everybody
	}
	return quota.Named(*name)
}

// metered is what counts for a request of a connection, nil while there are no quotas. Connection goroutine only.
func (b *Broker) metered(st *connState, clientID []byte) *quota.Client {
	table := b.quotas.Table()
	if table == nil {
		return nil
	}
	return b.meteredUnder(table, st, clientID)
}

// meteredUnder finds what counts, and keeps it with the connection. Until a client has said who it is, nothing does.
func (b *Broker) meteredUnder(table *quota.Table, st *connState, clientID []byte) *quota.Client {
	if st.auth != nil && !st.auth.known {
		return nil
	}
	user := strings.TrimPrefix(st.principal, userType)
	if !st.quotas.Is(table, user, clientID) {
		st.quotas = table.Client(user, string(clientID))
	}
	return st.quotas
}

// throttle has a connection wait, and returns the time as responses have it.
func throttle(c *netpoll.Conn, wait time.Duration) int32 {
	c.Mute(wait)
	return int32(wait.Milliseconds())
}

// percent is the part of a processor's second that a time is.
func percent(d time.Duration) float64 { return 100 * d.Seconds() }

// throttle counts an answered produce and returns its throttle time. What is acknowledged by nobody waits for its bytes only, as in Kafka.
func (op *produceOp) throttle() int32 {
	if op.meter == nil {
		return 0
	}
	wait := op.meter.Record(quota.Produce, float64(op.size))
	if op.names.Acks != 0 {
		wait = max(wait, op.meter.Record(quota.Request, percent(op.spent)))
	}
	return throttle(op.conn.conn, wait)
}

// serving notes when work on a produce begins or goes on, if anybody counts it; resting when it stops.
func (op *produceOp) serving() {
	if op.meter.Limited(quota.Request) {
		op.began = time.Now()
	}
}

func (op *produceOp) resting() {
	if !op.began.IsZero() {
		op.spent += time.Since(op.began)
		op.began = time.Time{}
	}
}

// Sizes of what a fetch response has beside record batches, near enough for a quota.
const (
	fetchHeadBytes      = 24
	fetchPartitionBytes = 48
)

// boundByQuota keeps a fetch below what its client may have in one window.
func (op *fetchOp) boundByQuota() {
	if op.meter == nil {
		return
	}
	op.serving()
	if most, ok := op.meter.MostAtOnce(quota.Fetch); ok {
		op.wanted = int(min(float64(op.wanted), most))
	}
}

// serving notes when work on a fetch begins or goes on, if anybody counts it; resting when it stops.
func (op *fetchOp) serving() {
	if op.meter.Limited(quota.Request) {
		op.began = time.Now()
	}
}

func (op *fetchOp) resting() {
	if !op.began.IsZero() {
		op.spent += time.Since(op.began)
		op.began = time.Time{}
	}
}

// throttle counts a fetch that is to be answered. More than 0: it is to be answered without data, which then does not count.
func (op *fetchOp) throttle() int32 {
	if op.meter == nil {
		return 0
	}
	op.resting()
	wait := op.meter.Record(quota.Request, percent(op.spent))
	size := float64(op.bytes + fetchHeadBytes + len(op.parts)*fetchPartitionBytes)
	wait = max(wait, op.meter.Record(quota.Fetch, size))
	if wait > 0 {
		op.meter.Note(quota.Fetch, -size)
	}
	return throttle(op.conn.conn, wait)
}

// clocked runs a handler and counts the processor time that it takes of its goroutine: waiting for others, for the controller for instance, is not
// the client's fault.
func (r *request) clocked(handle func()) {
	if !r.meter.Limited(quota.Request) || exempt(r.header.Key) {
		handle()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r.thread, r.began = unix.Gettid(), threadTime()
	handle()
	r.meter.Note(quota.Request, percent(r.lap()))
}

// lap is the processor time since the last lap. Only on the thread of clocked.
func (r *request) lap() time.Duration {
	now := threadTime()
	d := now - r.began
	r.began = now
	return d
}

// threadTime is the processor time that the current thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0 // not on Linux
	}
	return time.Duration(ts.Nano())
}

// exempt says that requests of an API are never counted: those of brokers, and those by which a client says who it is.
func exempt(key int16) bool {
	return key == kproto.KeyWriteTxnMarkers || handshakes(key)
}

// throttle counts a request that is answered, has the answer say for how long its client has to wait, and the client wait.
func (r *request) throttle(resp kmsg.Response) {
	wait := r.wait
	if r.meter.Limited(quota.Request) && !exempt(r.header.Key) {
		spent := time.Duration(0)
		if r.thread != 0 && r.thread == unix.Gettid() {
			spent = r.lap()
		}
		wait = max(wait, r.meter.Record(quota.Request, percent(spent)))
	}
	if wait <= 0 {
		return
	}
	if t, ok := resp.(kmsg.SetThrottleResponse); ok {
		t.SetThrottle(int32(wait.Milliseconds()))
	}
	r.conn.conn.Mute(wait)
}

// mutating says on whose behalf the controller is asked to create or delete partitions: it counts them, so that the rate of a client is the same however many
// brokers it asks. Clients understand THROTTLING_QUOTA_EXCEEDED from a version of the request on (KIP-599); older ones wait afterwards.
func (r *request) mutating(ctx context.Context, strictFrom int16) context.Context {
	if r.conn.auth != nil && !r.conn.auth.known {
		return ctx
	}
	return kraft.AskedBy(ctx, kraft.Asker{Principal: r.conn.principal, ClientID: r.clientID, Patient: r.header.Version < strictFrom})
}

// paced notes how long the client has to wait because of what the controller has done for it.
func (r *request) paced(answer kmsg.ThrottleResponse) kmsg.Response {
	millis, _ := answer.Throttle()
	r.wait = max(r.wait, time.Duration(millis)*time.Millisecond)
	return answer.(kmsg.Response)
}

// mutationQuota implements kraft.MutationQuota.
type mutationQuota struct{ manager *quota.Manager }

func newMutationQuota(c config.Quotas) mutationQuota {
	w := quota.Windows{Number: c.ControllerWindows, Size: c.ControllerWindowSize}
	return mutationQuota{quota.New(quota.Options{MutationWindows: w})}
}

// Set implements kraft.MutationQuota.
func (m mutationQuota) Set(img *kraft.Image) {
	m.manager.Set(func(add func(quota.Entity, map[string]float64)) {
		if img != nil {
			eachQuota(img, func(key string) bool { return key == mutationKey }, add)
		}
	})
}

// Take implements kraft.MutationQuota.
func (m mutationQuota) Take(a kraft.Asker, n int) (wait time.Duration, ok bool) {
	table := m.manager.Table()
	if table == nil {
		return 0, true
	}
	return table.Client(strings.TrimPrefix(a.Principal, userType), a.ClientID).Mutate(n, !a.Patient)
}
